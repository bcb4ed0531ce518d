/**
 * Layer ranges on this machine's disk: only the bytes that the layers it runs need.
 *
 *   <folder>/models/<model id>/
 *     model.onnx, …               the original's files, sparse: all ranges share their chunks (sparse-file.ts)
 *     model.onnx.scission-chunks  record of the chunks that are present and verified
 *     <shapesKey>.<from>-<to>.onnx   the sub-model, its weights pointing into the files beside it
 *     <shapesKey>.<from>-<to>.json   the manifest, written last; its mtime is the time of the last use
 *
 * A complete range opens without the benchmark service; otherwise the missing bytes are fetched. Concurrent calls for the
 * same range fetch once: a lock per file serialises the work, and the second call finds it done. A range of which a byte is
 * missing does not open (held-bytes.ts). An open range is not evicted and its files do not change until it is released.
 */
import type { Credentials } from '../../../shared/platform/credentials.ts'
import {
  checkKey,
  checkManifest,
  isComplete,
  keyText,
  type RangeKey,
  rangeName,
  readManifest,
  saveSubModel,
  writeManifest,
} from './stored-range.ts'
import { eachOf } from '../../../shared/platform/each-of.ts'
import { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import path from 'node:path'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { makeFolder, OWN_FOLDER } from '../../../shared/platform/make-folder.ts'
import { makeRoom, type RangeCache } from './eviction.ts'
import { fetchChunks } from './fetch-chunks.ts'
import { bytesMissing, findMissingBytes } from './held-bytes.ts'
import { ReferenceReader } from './read-references.ts'
import { RangeSource } from './range-source.ts'
import { chunkLength, presentChunks, SparseFile } from './sparse-file.ts'

export interface RangeStoreOptions {
  benchmarkUrl: string
  /** Shown to the benchmark service. */
  credentials?: Credentials
  /** Cache folder of this resource: `<dataDir>/<resource>`. */
  folder: string
  /** A transfer without a byte for this long has failed. @defaultValue 30000 */
  idleTimeoutMs?: number
  /** Limit of the cache; ranges not in use are evicted to stay below it. @defaultValue Infinity */
  limitBytes?: number
  /** Told of damaged files, which are made again. */
  log?: Logger
}

export interface OpenRange {
  /** Path of the sub-model, with its weight files in the same folder; null if the range has no layer. */
  path: string | null
  manifest: RangeManifest
  /** Allows the files to be evicted. Further calls have no effect. */
  release: () => void
}

type WeightFile = RangeManifest['weights'][number]

/** Some exporters write a file for each tensor: one after another, 1,200 of them take a minute. */
const FILES_AT_ONCE = 8

export class RangeStore {
  readonly #source: RangeSource
  readonly #cache: RangeCache
  readonly #references = new ReferenceReader()
  #reservedBytes = 0
  #incomplete = 0

  constructor({
    benchmarkUrl,
    credentials,
    folder,
    idleTimeoutMs = 30_000,
    limitBytes = Infinity,
    log,
  }: RangeStoreOptions) {
    this.#source = new RangeSource(benchmarkUrl, idleTimeoutMs, credentials)
    const models = path.resolve(folder, 'models')
    this.#cache = { models, limitBytes, inUse: new Map(), locks: new KeyedLock(), log }
  }

  /**
   * Fetches what is missing of a layer range and keeps the range from eviction until it is released.
   * @throws ScissionError peerUnavailable (the benchmark service does not answer, sends wrong bytes or too few), cancelled,
   *   conflict (no room within the limit), invalidModel (what came is none), or the refusal of the
   *   benchmark service: notFound, invalidRange.
   */
  async open(key: RangeKey, signal?: AbortSignal): Promise<OpenRange> {
    checkKey(key)
    try {
      const manifest = await this.#manifest(key, signal)
      return await this.#openAs(key, manifest, signal)
    } catch (error) {
      if (!signal?.aborted) throw diskFull(error) ?? error
      throw new ScissionError('cancelled', `fetching ${keyText(key)}: nobody waits for it any more`)
    }
  }

  /** How often a range was refused because bytes that it refers to were not fetched. */
  get incomplete(): number {
    return this.#incomplete
  }

  /** Closes idle connections, and the thread that reads sub-models. Open ranges stay usable. */
  close(): void {
    this.#source.close()
    void this.#references.close()
  }

  async #openAs(key: RangeKey, manifest: RangeManifest, signal: AbortSignal | undefined): Promise<OpenRange> {
    const release = this.#hold(key, manifest)
    const reserved = { bytes: 0 }
    try {
      await makeFolder(this.#folder(key), OWN_FOLDER)
      reserved.bytes = await this.#cache.locks.run('room', () => this.#reserve(key, manifest), signal)
      await eachOf(manifest.weights, FILES_AT_ONCE, (weights) => this.#fetchWeights(key, weights, signal))
      const file = await this.#fetchSubModel(key, manifest, signal)
      if (file !== null) await this.#refuseIncomplete(file, manifest)
      const target = this.#file(key, 'json')
      await this.#cache.locks.run(target, () => writeManifest(target, manifest))
      return { path: file, manifest, release }
    } catch (error) {
      release()
      throw error
    } finally {
      this.#reservedBytes -= reserved.bytes
    }
  }

  async #refuseIncomplete(file: string, manifest: RangeManifest): Promise<void> {
    const extents = await this.#references.read(file)
    const missing = await findMissingBytes(extents, path.dirname(file), manifest, this.#cache.log)
    if (missing === undefined) return
    const error = bytesMissing(manifest, missing)
    this.#incomplete += 1
    this.#cache.log?.error(error.message)
    throw error
  }

  /** From the benchmark service; if it cannot be reached, from the disk, if the range is complete there. */
  async #manifest(key: RangeKey, signal: AbortSignal | undefined): Promise<RangeManifest> {
    try {
      const manifest = await this.#source.manifest(key, signal)
      checkManifest(manifest)
      return manifest
    } catch (error) {
      const unreachable = error instanceof ScissionError && error.code === 'peerUnavailable'
      const known = unreachable ? await readManifest(this.#file(key, 'json'), this.#cache.log) : undefined
      if (known === undefined) throw error
      return known
    }
  }

  #hold(key: RangeKey, manifest: RangeManifest): () => void {
    const name = keyText(key)
    const held = this.#cache.inUse.get(name) ?? { count: 0, manifest }
    held.count += 1
    this.#cache.inUse.set(name, held)
    let released = false
    return () => {
      if (released) return
      released = true
      held.count -= 1
      if (held.count === 0) this.#cache.inUse.delete(name)
    }
  }

  /** Makes room for the missing bytes. @returns the number of bytes reserved until they are on the disk. */
  async #reserve(key: RangeKey, manifest: RangeManifest): Promise<number> {
    if (this.#cache.limitBytes === Infinity) return 0
    const missing = await this.#missingBytes(key, manifest)
    if (missing === 0) return 0
    await makeRoom(this.#cache, this.#reservedBytes + missing)
    this.#reservedBytes += missing
    return missing
  }

  async #missingBytes(key: RangeKey, { onnx, weights }: RangeManifest): Promise<number> {
    const bytes = await eachOf(weights, FILES_AT_ONCE, async (file) => {
      const present = await presentChunks(path.join(this.#folder(key), file.path), file, this.#cache.log)
      const missing = file.chunks.filter((chunk) => !present.has(chunk.index))
      return missing.reduce((sum, { index }) => sum + chunkLength(file, index), 0)
    })
    const isMissing = onnx !== null && !(await isComplete(this.#file(key, 'onnx'), onnx))
    return bytes.reduce((sum, one) => sum + one, isMissing ? onnx.bytes : 0)
  }

  #fetchWeights(key: RangeKey, weights: WeightFile, signal: AbortSignal | undefined): Promise<void> {
    const name = path.join(this.#folder(key), weights.path)
    const work = async () => {
      const file = await SparseFile.open(name, weights, this.#cache.log)
      // Open ranges load their sessions again if a thread dies: a replaced file needs the chunks of all of them.
      const needed = file.replaced ? this.#neededByAll(key, weights) : weights
      try {
        await fetchChunks({ source: this.#source, model: key.model, file, weights: needed, signal })
      } finally {
        await file.close()
      }
    }
    return this.#cache.locks.run(name, work, signal)
  }

  /** The chunks of a file that the open ranges of the model need, this range included. */
  #neededByAll({ model }: RangeKey, weights: WeightFile): WeightFile {
    const manifests = [...this.#cache.inUse.values()].map((held) => held.manifest)
    const files = manifests.filter((held) => held.model === model).flatMap((held) => held.weights)
    const chunks = files.filter((file) => file.path === weights.path).flatMap((file) => file.chunks)
    return { ...weights, chunks: [...new Map(chunks.map((chunk) => [chunk.index, chunk])).values()] }
  }

  async #fetchSubModel(
    key: RangeKey,
    { onnx }: RangeManifest,
    signal: AbortSignal | undefined,
  ): Promise<string | null> {
    if (onnx === null) return null
    const target = this.#file(key, 'onnx')
    const work = async () => {
      if (await isComplete(target, onnx)) return
      await saveSubModel(target, this.#source.subModel(key, signal), onnx)
    }
    await this.#cache.locks.run(target, work, signal)
    return target
  }

  #folder({ model }: RangeKey): string {
    return path.join(this.#cache.models, model)
  }

  #file(key: RangeKey, extension: 'onnx' | 'json'): string {
    return path.join(this.#folder(key), `${rangeName(key)}.${extension}`)
  }
}

function diskFull(thrown: unknown): ScissionError | undefined {
  const error = coerceError(thrown)
  if (!('code' in error) || error.code !== 'ENOSPC') return undefined
  return new ScissionError(
    'internal',
    'the disk that holds the cache is full: free some space',
    undefined,
    error,
  )
}
