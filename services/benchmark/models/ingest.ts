/**
 * Takes an uploaded model into the registry: receives it into a folder of its own, digests it, describes it without running
 * it, analyses it in a child process, then moves the folder into the store and adds the record. A refused upload leaves no
 * files behind.
 */
import { createHash } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import { z } from 'zod'
import { type DeclaredTensor, type InputShapes, ModelId } from '../../../shared/contracts/common.ts'
import {
  type Model,
  OpenDimension,
  type Structure,
  type UploadedModel,
} from '../../../shared/contracts/model.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { describeModel, resolveInputShapes } from '../../../shared/onnx/index.ts'
import { type State, structureId } from '../../../shared/platform/redis/state.ts'
import type { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import type { Analyses } from './analyses.ts'
import { type ReceivedFile, receiveUpload } from './receive-upload.ts'
import type { NewModel, Registry } from './registry.ts'
import { MODEL_FILE, type ModelStore, safeLocation } from './model-store.ts'

export interface IngestDeps {
  store: ModelStore
  registry: Registry
  analyses: Analyses
  state: State
  maxModelBytes: number
  /** By model id: the second of two simultaneous uploads of the same bytes waits, and finds the stored model. */
  uploads: KeyedLock
}

export interface UploadQuery {
  name: string
  shapes?: InputShapes | undefined
}

/**
 * Receives an upload and takes the model into the registry.
 * @returns the model, and whether its content is new.
 * @throws ScissionError payloadTooLarge, badRequest, invalidModel, needsInputShapes; conflict if a deployment has the name.
 */
export async function ingestUpload(
  deps: IngestDeps,
  req: IncomingMessage,
  query: UploadQuery,
): Promise<{ model: UploadedModel; created: boolean }> {
  // Without Redis no record can be written: this fails before gigabytes are transferred.
  await deps.state.redis.ping()
  const folder = await deps.store.newIncoming()
  try {
    const files = await receiveUpload(req, folder, deps.maxModelBytes)
    const id = modelIdOf(files)
    return await deps.uploads.run(id, async () => {
      // A model that is deleted between the two is new.
      const known = (await deps.registry.find(id)) && (await deps.registry.addName(id, query.name))
      if (known) return { model: await uploadedAgain(deps, known, query), created: false }
      const { record, structure } = await examine(deps, folder, id, files, query)
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
  { registry, analyses }: IngestDeps,
  model: Model,
  { shapes }: UploadQuery,
): Promise<UploadedModel> {
  if (shapes) {
    const structure = await analyses.structure(model, shapes)
    return withFindings(await registry.setShapes(model.id, structure), structure)
  }
  return withFindings(model, model.shapesKey === null ? null : await analyses.structure(model))
}

async function examine(
  { analyses }: IngestDeps,
  folder: string,
  id: ModelId,
  files: readonly ReceivedFile[],
  { name, shapes }: UploadQuery,
): Promise<{ record: NewModel['record']; structure: Structure | null }> {
  const description = await describeModel(path.join(folder, MODEL_FILE))
  checkExternalFiles(description.externalFiles, files, name)
  const { irVersion, opsets, producer, inputs, outputs } = description
  const structure = await analyseUpload(analyses, folder, id, inputs, shapes)
  const record = {
    id,
    bytes: files.reduce((sum, file) => sum + file.bytes, 0),
    files: files.map(({ path: location, bytes, sha256 }) => ({ path: location, bytes, sha256 })),
    irVersion,
    opsets,
    producer,
    inputs,
    outputs,
    inputShapes: structure?.inputShapes ?? null,
    shapesKey: structure?.shapesKey ?? null,
    createdAt: new Date().toISOString(),
  }
  return { record, structure }
}

/** Null if dimensions other than the batch are open and the request gives no shapes: they can be given later. */
async function analyseUpload(
  analyses: Analyses,
  folder: string,
  id: ModelId,
  inputs: Model['inputs'],
  given: InputShapes | undefined,
): Promise<Structure | null> {
  try {
    return await analyses.analyseFolder(folder, id, given ?? singleItemShapes(inputs) ?? {})
  } catch (thrown) {
    if (needsInputShapes(thrown) && given === undefined) return null
    throw thrown
  }
}

const needsInputShapes = (thrown: unknown): thrown is ScissionError =>
  thrown instanceof ScissionError && thrown.code === 'needsInputShapes'

const OpenDimensions = z.object({ dims: z.array(OpenDimension) })

function openDimensions(inputs: readonly DeclaredTensor[]): OpenDimension[] {
  try {
    resolveInputShapes(inputs)
    return []
  } catch (thrown) {
    if (needsInputShapes(thrown)) return OpenDimensions.parse(thrown.details).dims
    throw thrown
  }
}

/**
 * Input shapes with a batch of 1, if only the batch is open: the first dimension of inputs with more than one dimension.
 * The meaning of any other open dimension is unknown, so its size has to be given by the client.
 */
function singleItemShapes(inputs: readonly DeclaredTensor[]): InputShapes | undefined {
  const open = openDimensions(inputs)
  const affected = inputs.filter(({ name }) => open.some(({ input }) => input === name))
  const batchOnly = open.every(({ axis }) => axis === 0) && affected.every(({ shape }) => shape.length > 1)
  if (open.length === 0 || !batchOnly) return undefined
  return Object.fromEntries(
    affected.map(({ name, shape }) => [name, shape.map((dim) => (typeof dim === 'string' ? 1 : dim))]),
  )
}

/** The digest of a single file; for several files as the contract of `Model` defines it. */
function modelIdOf(files: readonly ReceivedFile[]): ModelId {
  const [main] = files
  if (main && files.length === 1) return ModelId.parse(main.sha256)
  const lines = files.map((file) => `${file.sha256}  ${file.path}\n`)
  return ModelId.parse(createHash('sha256').update(lines.join('')).digest('hex'))
}

/** Adds the number of layers and the cuts from the model's structure to its record. */
export function withFindings(model: Model, structure: Structure | null): UploadedModel {
  const inner = structure?.boundaries.slice(1, -1).filter((boundary) => boundary.allowed)
  return {
    ...model,
    layers: structure?.layers.length ?? null,
    cuts: inner
      ? {
          single: inner.filter((boundary) => boundary.single).map((boundary) => boundary.k),
          clean: inner.filter((boundary) => boundary.clean).map((boundary) => boundary.k),
        }
      : null,
    openDimensions: model.inputShapes === null ? openDimensions(model.inputs) : [],
    ...(structure?.warnings && { warnings: structure.warnings }),
  }
}

/** @throws ScissionError invalidModel, which names missing files; badRequest for files that the model does not refer to. */
function checkExternalFiles(named: readonly string[], files: readonly ReceivedFile[], name: string): void {
  const wanted = new Set(named.map((location) => safeLocation(location)))
  const sent = new Set(files.map((file) => file.path).filter((location) => location !== MODEL_FILE))
  const missing = [...wanted].filter((location) => !sent.has(location))
  if (missing.length > 0) {
    const parts = [...wanted].map((location) => `-F 'data=@${location};filename=${location}'`).join(' ')
    throw new ScissionError(
      'invalidModel',
      `the model keeps weights in ${missing.join(', ')}, which was not uploaded; send all of its files together: ` +
        `curl -F model=@model.onnx ${parts} '<benchmark service>/v1/models?name=${name}'`,
      { missing, externalFiles: [...wanted] },
    )
  }
  const extra = [...sent].filter((location) => !wanted.has(location))
  if (extra.length > 0)
    throw new ScissionError(
      'badRequest',
      `the model refers to no file ${extra.join(', ')}; it refers to: ${[...wanted].join(', ') || 'none'}`,
      { extra, externalFiles: [...wanted] },
    )
}
