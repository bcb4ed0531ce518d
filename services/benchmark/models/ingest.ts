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
import { ScissionError } from '../../../shared/platform/errors.ts'
import { describeModel } from '../../../shared/onnx/index.ts'
import { type State, structureId } from '../../../shared/platform/redis/state.ts'
import { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import type { Analyses } from './analyses.ts'
import { type ReceivedFile, receiveUpload } from './receive-upload.ts'
import { MODEL_FILE, safeLocation } from './file-names.ts'
import type { NewModel, Registry } from './registry.ts'
import { openDimensions, singleItemShapes } from './open-dimensions.ts'
import type { ModelStore } from './model-store.ts'

export interface IngestDeps {
  store: ModelStore
  registry: Registry
  analyses: Analyses
  state: State
  maxModelBytes: number
}

export interface UploadQuery {
  name: string
  shapes?: InputShapes | undefined
}

export class Ingest {
  readonly #deps: IngestDeps
  /** Two simultaneous uploads of the same bytes run one after the other: the second finds the stored model. */
  readonly #locks = new KeyedLock()

  constructor(deps: IngestDeps) {
    this.#deps = deps
  }

  /**
   * @returns the model, and whether its content is new.
   * @throws ScissionError payloadTooLarge, badRequest, invalidModel, needsInputShapes
   */
  async upload(
    req: IncomingMessage,
    query: UploadQuery,
  ): Promise<{ model: UploadedModel; created: boolean }> {
    // Without Redis no record can be written: this fails before gigabytes are transferred.
    await this.#deps.state.redis.ping()
    const folder = await this.#deps.store.newIncoming()
    try {
      const files = await receiveUpload(req, folder, this.#deps.maxModelBytes)
      const id = modelIdOf(files)
      return await this.#locks.run(id, async () => {
        const known = await this.#deps.registry.find(id)
        if (known) return { model: await this.#again(known, query), created: false }
        const { record, structure } = await this.#examine(folder, id, files, query)
        const chunks = Object.fromEntries(files.map((file) => [file.path, file.chunks]))
        return { model: await this.#add({ folder, chunks, record }, query.name, structure), created: true }
      })
    } finally {
      await this.#deps.store.discard(folder)
    }
  }

  async #again(model: Model, query: UploadQuery): Promise<UploadedModel> {
    const named = await this.#deps.registry.addName(model.id, query.name)
    if (query.shapes) {
      const structure = await this.#deps.analyses.structure(named, query.shapes)
      const reshaped = await this.#deps.registry.setShapes(model.id, structure)
      return withFindings(reshaped, structure)
    }
    const structure = named.shapesKey === null ? null : await this.#deps.analyses.structure(named)
    return withFindings(named, structure)
  }

  async #examine(
    folder: string,
    id: ModelId,
    files: readonly ReceivedFile[],
    query: UploadQuery,
  ): Promise<{ record: NewModel['record']; structure: Structure | null }> {
    const description = await describeModel(path.join(folder, MODEL_FILE))
    checkExternalFiles(description.externalFiles, files, query.name)
    const { irVersion, opsets, producer, inputs, outputs } = description
    const structure = await this.#analyseUpload(folder, id, inputs, query.shapes)
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
  async #analyseUpload(
    folder: string,
    id: ModelId,
    inputs: Model['inputs'],
    given: InputShapes | undefined,
  ): Promise<Structure | null> {
    try {
      return await this.#deps.analyses.analyseFolder(folder, id, given ?? singleItemShapes(inputs) ?? {})
    } catch (thrown) {
      const open = thrown instanceof ScissionError && thrown.code === 'needsInputShapes'
      if (open && given === undefined) return null
      throw thrown
    }
  }

  async #add(model: NewModel, name: string, structure: Structure | null): Promise<UploadedModel> {
    const record = await this.#deps.registry.add(model, name)
    if (structure)
      await this.#deps.state.structures.put(structureId(record.id, structure.shapesKey), structure)
    return withFindings(record, structure)
  }
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
