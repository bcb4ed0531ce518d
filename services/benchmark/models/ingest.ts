/**
 * Takes an uploaded model into the registry: receives it into a folder of its own, digests it, describes it without running
 * it, analyses it in a child process, then moves the folder into the store and adds the record. A refused upload leaves no
 * files behind.
 */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import { type InputShapes, ModelId } from '../../../shared/contracts/common.ts'
import type { Model, Structure, UploadedModel } from '../../../shared/contracts/model.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { Grant, Holdings } from '../../../shared/platform/access/holdings.ts'
import type { Identity } from '../../../shared/platform/access/identity.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import type { StructureLimits } from '../../../shared/onnx/index.ts'
import { describeSamples } from '../../../shared/onnx/sample-inputs/samples.ts'
import { type State, structureId } from '../../../shared/platform/redis/state.ts'
import type { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import { isForm } from '../read-form.ts'
import { checkSamples } from '../samples/check-samples.ts'
import { giveSamples } from './give-samples.ts'
import type { SampleReader } from '../samples/sample-reader.ts'
import type { Analyses } from './analyses.ts'
import { analysedIfKnown } from './first-shapes.ts'
import { type ReceivedFile, receiveUpload } from './receive-upload.ts'
import type { NewModel, Registry } from './registry.ts'
import type { ModelFiles } from './model-files.ts'
import { MODEL_FILE, type ModelStore, safeLocation } from './model-store.ts'
import { withFindings } from './with-findings.ts'

/** Heads of the parts of a form. */
const FORM_ALLOWANCE_BYTES = 64 * 1024

export interface IngestDeps {
  store: ModelStore
  registry: Registry
  analyses: Analyses
  state: State
  maxModelBytes: number
  maxModelFiles: number
  structureLimits: StructureLimits
  modelFiles: ModelFiles
  samples: SampleReader
  holdings: Holdings
  /** By model id: the second of two simultaneous uploads of the same bytes waits, and finds the stored model. */
  uploads: KeyedLock
}

export interface UploadQuery {
  name: string
  shapes?: InputShapes | undefined
}

/** Who uploads: in the queue of analyses, and by the quotas. */
interface Uploader {
  asker: Asker
  identity: Identity
}

interface Ingested {
  model: UploadedModel
  created: boolean
}

/**
 * Receives an upload and takes the model into the registry.
 * @returns the model, and whether its content is new.
 * @throws ScissionError payloadTooLarge, badRequest, invalidTensor (samples), invalidModel, needsInputShapes; tooManyRequests
 * (before it is read, if its size is known); conflict if a deployment has the name.
 */
export async function ingestUpload(
  deps: IngestDeps,
  req: IncomingMessage,
  query: UploadQuery,
  { asker, identity }: Uploader,
): Promise<Ingested> {
  // Without Redis no record can be written: this fails before gigabytes are transferred.
  await deps.state.redis.ping()
  const wanted = { models: 1, bytes: bytesOf(req, deps.samples.limitBytes) }
  return deps.holdings.reserving(identity, wanted, (grant) => ingest(deps, req, query, asker, grant))
}

/** What an upload takes, as far as its head tells. */
function bytesOf(req: IncomingMessage, maxSampleBytes: number): { least: number; most: number } {
  const announced = Number(req.headers['content-length'] ?? Number.NaN)
  if (!Number.isFinite(announced)) return { least: 1, most: Number.MAX_SAFE_INTEGER }
  if (!isForm(req)) return { least: announced, most: announced }
  // A form is longer than its files, and packed samples are shorter than what is made of them.
  return { least: Math.max(1, announced - FORM_ALLOWANCE_BYTES), most: announced + maxSampleBytes }
}

async function ingest(
  deps: IngestDeps,
  req: IncomingMessage,
  query: UploadQuery,
  asker: Asker,
  grant: Grant,
): Promise<Ingested> {
  const folder = await deps.store.newIncoming()
  try {
    const limits = {
      maxModelBytes: deps.maxModelBytes,
      maxFiles: deps.maxModelFiles,
      maxSampleBytes: deps.samples.limitBytes,
      grant,
    }
    const { files, samples: sampleFiles } = await receiveUpload(req, folder, limits)
    const samples = sampleFiles.length > 0 ? await deps.samples.read(sampleFiles, asker) : undefined
    const id = modelIdOf(files)
    return await deps.uploads.run(id, async () => {
      // A model that is deleted between the two is new.
      const known = (await deps.registry.find(id)) && (await deps.registry.addName(id, query.name))
      if (known)
        return { model: await uploadedAgain(deps, known, query, samples, asker, grant), created: false }
      const found = await examine(deps, folder, id, files, query, samples, asker, grant)
      const { record, structure } = found
      const chunks = Object.fromEntries(files.map((file) => [file.path, file.chunks]))
      const model = await deps.registry.add({ folder, chunks, record }, query.name)
      if (structure) await deps.state.structures.put(structureId(id, structure.shapesKey), structure)
      return { model: withFindings(model, structure), created: true }
    })
  } finally {
    await deps.store.discard(folder)
  }
}

async function uploadedAgain(
  deps: IngestDeps,
  model: Model,
  { shapes }: UploadQuery,
  samples: readonly Tensor[] | undefined,
  asker: Asker,
  grant: Grant,
): Promise<UploadedModel> {
  const { registry, analyses } = deps
  if (samples) return giveSamples(deps, model, samples, shapes, asker, grant)
  if (shapes) {
    const structure = await analyses.structure(model, asker, shapes)
    return withFindings(await registry.setShapes(model.id, structure), structure)
  }
  return withFindings(model, model.shapesKey === null ? null : await analyses.structure(model, asker))
}

async function examine(
  { analyses, store, modelFiles, structureLimits }: IngestDeps,
  folder: string,
  id: ModelId,
  files: readonly ReceivedFile[],
  { name, shapes }: UploadQuery,
  given: readonly Tensor[] | undefined,
  asker: Asker,
  { owner, bytes: mayTake, tooManyBytes }: Grant,
): Promise<{ record: NewModel['record']; structure: Structure | null }> {
  const description = await modelFiles.describe(path.join(folder, MODEL_FILE), structureLimits, asker)
  checkExternalFiles(description.externalFiles, files, name)
  const { irVersion, opsets, producer, inputs, outputs } = description
  const checked = given && describeSamples(checkSamples(inputs, given))
  const samples = checked && { ...checked.samples, owner }
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0)
  if (bytes + (samples?.bytes ?? 0) > mayTake) throw tooManyBytes()
  if (checked) await store.writeSamples(folder, checked.samples, checked.data)
  const structure = await analysedIfKnown(inputs, shapes, samples, (known) =>
    analyses.analyseFolder(folder, id, known, samples, asker),
  )
  const record = {
    id,
    bytes,
    files: files.map(({ path: location, bytes, sha256 }) => ({ path: location, bytes, sha256 })),
    irVersion,
    opsets,
    producer,
    inputs,
    outputs,
    inputShapes: structure?.inputShapes ?? null,
    shapesKey: structure?.shapesKey ?? null,
    ...(samples && { samples }),
    owner,
    createdAt: new Date().toISOString(),
  }
  return { record, structure }
}

/** The digest of a single file; for several files as the contract of `Model` defines it. */
function modelIdOf(files: readonly ReceivedFile[]): ModelId {
  const [main] = files
  if (main && files.length === 1) return ModelId.parse(main.sha256)
  const lines = files.map((file) => `${file.sha256}  ${file.path}\n`)
  return ModelId.parse(createHash('sha256').update(lines.join('')).digest('hex'))
}

/** @throws ScissionError invalidModel, which names missing files; badRequest for files that the model does not refer to. */
function checkExternalFiles(named: readonly string[], files: readonly ReceivedFile[], name: string): void {
  const wanted = new Set(named.map((location) => safeLocation(location)))
  const sent = new Set(files.map((file) => file.path).filter((location) => location !== MODEL_FILE))
  const missing = [...wanted].filter((location) => !sent.has(location))
  if (missing.length > 0) {
    const parts = firstOf([...wanted].map(curlPart), ' ')
    throw new ScissionError(
      'invalidModel',
      `the model keeps weights in ${firstOf(missing)}, which was not uploaded; send all of its files together: ` +
        `curl -F model=@model.onnx ${parts} '<benchmark service>/v1/models?name=${name}'`,
      { missing, externalFiles: [...wanted] },
    )
  }
  const extra = [...sent].filter((location) => !wanted.has(location))
  if (extra.length > 0)
    throw new ScissionError(
      'badRequest',
      `the model refers to no file ${firstOf(extra)}; it refers to: ${firstOf([...wanted]) || 'none'}`,
      { extra, externalFiles: [...wanted] },
    )
}

/** A file as curl takes it on the command line of a shell. */
function curlPart(location: string): string {
  const name = /[;,"]/.test(location) ? `"${location.replaceAll('"', String.raw`\"`)}"` : location
  return `-F '${`data=@${name};filename=${name}`.replaceAll("'", String.raw`'\''`)}'`
}

const NAMED = 10

/** The first of a list, and how many more there are: a model may have thousands of files. */
const firstOf = (names: readonly string[], separator = ', '): string =>
  names.slice(0, NAMED).join(separator) +
  (names.length > NAMED ? `${separator}… (${names.length} in all)` : '')
