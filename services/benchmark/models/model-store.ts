/**
 * Model files on disk, addressed by content:
 *
 *     <root>/models/<id>/model.onnx                      the original, and its external data under its own names
 *                        model.json                      the registry's record
 *                        chunks.json                     SHA-256 of every chunk of every file
 *                        <key>.canonical.onnx            one pair per set of input shapes, written by shared/onnx
 *                        <key>.structure.json
 *                        <key>.<from>-<to>.onnx, .json   layer ranges that were requested, with their manifests
 *                        <digest>.samples                values for its inputs, if a user gave some
 *     <root>/incoming/…                                  uploads under way and unfinished deletions
 *
 * One rename makes a complete folder of a model visible, and one rename removes it, so a crash never leaves a partial model.
 * Files in `incoming` belong to a request; leftovers of a crash are removed at the next start. Several replicas of the
 * service may share the root. The registry is restored from it if Redis has lost it.
 */
import { isAbsent, readIfThere, writeWhole } from '../../../shared/platform/atomic-file.ts'
import { randomUUID } from 'node:crypto'
import { mkdtemp, readdir, readFile, rename, rm, stat, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import { isOwnName, unsafeLocation } from '../../../shared/contracts/file-names.ts'
import { Model, type Samples, Structure, LONG_STRUCTURE } from '../../../shared/contracts/model.ts'
import { checkJsonInTurns, type LongDocument } from '../../../shared/platform/check-in-turns.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { samplesFile } from '../../../shared/onnx/sample-inputs/samples.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { makeFolder, OWN_FOLDER } from '../../../shared/platform/make-folder.ts'

/** Path in the model's folder → SHA-256 of its chunks. */
export const ChunkDigests = z.record(z.string(), z.array(z.string()))
export type ChunkDigests = z.infer<typeof ChunkDigests>

/** Name of the main file in a model's folder. */
export const MODEL_FILE = 'model.onnx'

/** Names that the store itself uses in a model's folder, besides those of `isOwnName`. */
const RESERVED = /^(model\.onnx|model\.json|chunks\.json)(\/|$)/i
const MAX_LOCATION_LENGTH = 512
const RECORD = 'model.json'
const CHUNKS = 'chunks.json'
/** File ending of structures, as shared/onnx writes them. */
const STRUCTURE = '.structure.json'
/** Names as `samplesFile` makes them. */
const SAMPLES = /^[0-9a-f]{12}\.samples$/
/** Older leftovers belong to no running upload: receive-upload.ts gives up silent uploads much sooner. */
const LEFTOVER_MS = 3_600_000

export class ModelStore {
  readonly #models: string
  readonly #incoming: string
  readonly #log: Logger

  constructor(dataDir: string, log: Logger) {
    this.#models = path.join(dataDir, 'models')
    this.#incoming = path.join(dataDir, 'incoming')
    this.#log = log
  }

  /** Creates the folders and removes what interrupted uploads and deletions left. */
  async open(): Promise<void> {
    await makeFolder(this.#models, OWN_FOLDER)
    await makeFolder(this.#incoming, OWN_FOLDER)
    const names = await readdir(this.#incoming)
    const now = await this.#fileTime()
    for (const name of names) {
      const leftover = path.join(this.#incoming, name)
      if (now - (await newestChange(leftover)) < LEFTOVER_MS) continue
      await rm(leftover, { recursive: true, force: true })
      this.#log.info(`removed the leftovers of an interrupted upload: ${name}`)
    }
  }

  /**
   * Epoch ms by the clock that stamps files here: replicas may share the folder over the network, each with a clock of its
   * own.
   */
  async #fileTime(): Promise<number> {
    const probe = await this.newIncoming()
    const { mtimeMs } = await stat(probe)
    await this.discard(probe)
    return mtimeMs
  }

  folder(id: ModelId): string {
    return path.join(this.#models, id)
  }

  /** Creates an empty folder on the same file system as the models, for one request. The caller discards it. */
  async newIncoming(): Promise<string> {
    return mkdtemp(path.join(this.#incoming, 'upload-'))
  }

  async discard(folder: string): Promise<void> {
    await rm(folder, { recursive: true, force: true })
  }

  /** Makes an incoming folder the model's folder. If the same content is already stored, only the record is updated. */
  async adopt(folder: string, record: Model, chunks: ChunkDigests): Promise<void> {
    await writeFile(path.join(folder, CHUNKS), JSON.stringify(chunks), { flush: true })
    await writeFile(path.join(folder, RECORD), JSON.stringify(record, null, 2), { flush: true })
    if (await this.record(record.id)) {
      await this.discard(folder)
      await this.writeRecord(record)
      return
    }
    // A folder without a readable record stems from another version or a damaged disk.
    await this.remove(record.id)
    await rename(folder, this.folder(record.id))
  }

  /** The stored record; undefined if the model's files are missing or unusable. */
  async record(id: ModelId): Promise<Model | undefined> {
    return this.#read(path.join(this.folder(id), RECORD), Model)
  }

  /** @throws ScissionError notFound */
  async needRecord(id: ModelId): Promise<Model> {
    const record = await this.record(id)
    if (record) return record
    throw new ScissionError('notFound', `the files of model ${id} are not on this benchmark service`)
  }

  /**
   * Does work that needs the files of a model. @throws ScissionError notFound if they are not here, or not any more once the work
   * has failed: that is no fault of the model or of this service; else what the work throws.
   */
  async working<T>(id: ModelId, work: () => Promise<T>): Promise<T> {
    await this.needRecord(id)
    try {
      return await work()
    } catch (thrown) {
      await this.needRecord(id)
      throw thrown
    }
  }

  async writeRecord(record: Model): Promise<void> {
    await writeWhole(path.join(this.folder(record.id), RECORD), JSON.stringify(record, null, 2))
  }

  /** Writes samples beside those that the model has; they count once its record names them. */
  async writeSamples(folder: string, samples: Samples, data: Uint8Array): Promise<void> {
    await writeWhole(path.join(folder, samplesFile(samples)), data)
  }

  /** Removes all samples of a model but the given ones. */
  async keepSamples(id: ModelId, samples: Samples | undefined): Promise<void> {
    const kept = samples && samplesFile(samples)
    for (const name of await readdir(this.folder(id)))
      if (SAMPLES.test(name) && name !== kept) await rm(path.join(this.folder(id), name), { force: true })
  }

  async chunks(id: ModelId): Promise<ChunkDigests> {
    return ChunkDigests.parse(JSON.parse(await readFile(path.join(this.folder(id), CHUNKS), 'utf8')))
  }

  /** Undefined if there is none, or if this version cannot read it; then the model is analysed again. */
  async structure(id: ModelId, key: ShapesKey): Promise<Structure | undefined> {
    return this.#read(path.join(this.folder(id), `${key}${STRUCTURE}`), Structure, LONG_STRUCTURE)
  }

  /** Keys of the input shapes that the model was analysed with. */
  async structureKeys(id: ModelId): Promise<ShapesKey[]> {
    const names = await readdir(this.folder(id))
    return names.flatMap((name) => {
      const key = name.endsWith(STRUCTURE) ? ShapesKey.safeParse(name.slice(0, -STRUCTURE.length)) : undefined
      return key?.success ? [key.data] : []
    })
  }

  /** All stored models, to restore the registry from. */
  async all(): Promise<Model[]> {
    const models: Model[] = []
    for (const name of await readdir(this.#models)) {
      const id = ModelId.safeParse(name)
      if (!id.success) continue
      const record = await this.record(id.data)
      if (record) models.push(record)
    }
    return models
  }

  async remove(id: ModelId): Promise<void> {
    const doomed = path.join(this.#incoming, `deleted-${randomUUID()}`)
    try {
      await rename(this.folder(id), doomed)
    } catch (thrown) {
      if (isAbsent(thrown)) return
      throw thrown
    }
    await rm(doomed, { recursive: true, force: true })
  }

  async #read<T>(file: string, schema: z.ZodType<T>, long?: LongDocument<T>): Promise<T | undefined> {
    const text = await readIfThere(file)
    if (text === undefined) return undefined
    const { value, fault } = await checkJsonInTurns(schema, long, text)
    if (fault !== undefined) this.#log.warn(`${file} cannot be read; it is left out: ${fault}`)
    return value
  }
}

/** Epoch ms of the last write anywhere in the folder: a growing file does not change its folder's own time. */
async function newestChange(folder: string): Promise<number> {
  // Another benchmark service may be removing it.
  let newest = (await stat(folder).catch(() => undefined))?.mtimeMs ?? 0
  for (const entry of await readdir(folder, { recursive: true }).catch(() => [])) {
    const found = await stat(path.join(folder, entry)).catch(() => undefined)
    newest = Math.max(newest, found?.mtimeMs ?? 0)
  }
  return newest
}

/**
 * Normalises the name of an external data file, which comes from a client, to a relative path with forward slashes.
 * @throws ScissionError badRequest if it is empty, absolute, outside of the folder, or a name that the store uses.
 */
export function safeLocation(location: string): string {
  const refuse = (reason: string): never => {
    throw new ScissionError('badRequest', `external data file name ${JSON.stringify(location)} ${reason}`, {
      location,
    })
  }
  if (location.length === 0 || location.length > MAX_LOCATION_LENGTH)
    refuse(`must have 1 to ${MAX_LOCATION_LENGTH} characters`)
  const why = unsafeLocation(location)
  if (why !== undefined) refuse(`${why}; it must name a file inside the model’s folder`)
  const clean = path.posix.normalize(location)
  if (RESERVED.test(clean) || isOwnName(clean))
    refuse('is a name that Scission itself uses in a model’s folder; rename the file')
  return clean
}
