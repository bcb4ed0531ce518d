/**
 * Writes layer ranges as files: a small ONNX sub-model whose weights refer to the original file, and a manifest with the
 * range's inputs and outputs and the chunks of the original that hold its weights. Both are written at the first request,
 * into the model's folder, because external data must be in the folder of the model that uses it.
 */
import { readIfThere, writeWhole } from '../../../shared/platform/atomic-file.ts'
import { LRUCache } from 'lru-cache'
import { readFile } from 'node:fs/promises'
import path from 'node:path'
import type { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../shared/contracts/model.ts'
import { CHUNK_BYTES, RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import {
  type CanonicalModel,
  canonicalPaths,
  checkRange,
  openCanonical,
  type WeightExtent,
  writeRange,
} from '../../../shared/onnx/index.ts'
import { externalExtents, firstMissing } from '../../../shared/onnx/wire/external-extents.ts'
import { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import type { Analyses } from './analyses.ts'
import { type ModelStore } from './model-store.ts'

export interface RangeFiles {
  manifest: RangeManifest
  /** Path of the sub-model; null if the range contains no layer. */
  file: string | null
}

/** Decoded canonical files are small, because they hold no weights; ranges of one model are usually requested in a row. */
const MAX_OPEN_COUNT = 4

export class Ranges {
  readonly #store: ModelStore
  readonly #analyses: Analyses
  readonly #locks = new KeyedLock()
  /** Path → the canonical model, decoded. */
  readonly #canonicals = new LRUCache<string, CanonicalModel>({
    max: MAX_OPEN_COUNT,
    fetchMethod: (file) => openCanonical(file),
    // A caller gets what it waits for, also if the entry is evicted or deleted meanwhile.
    ignoreFetchAbort: true,
  })

  constructor(store: ModelStore, analyses: Analyses) {
    this.#store = store
    this.#analyses = analyses
  }

  /** @throws ScissionError invalidRange, which names the number of layers; needsInputShapes or notFound for the shapes. */
  async get(model: Model, from: number, to: number, key: ShapesKey | undefined): Promise<RangeFiles> {
    const structure =
      key === undefined ? await this.#analyses.structure(model) : await this.#analyses.byKey(model, key)
    checkRange(structure, from, to)
    const stem = path.join(this.#store.folder(model.id), `${structure.shapesKey}.${from}-${to}`)
    const manifest = await this.#locks.run(
      stem,
      async () => (await storedRange(stem)) ?? this.#write(stem, structure, from, to),
    )
    return { manifest, file: manifest.onnx === null ? null : `${stem}.onnx` }
  }

  /** Closes the decoded files of a model that is being deleted. */
  forget(model: ModelId): void {
    for (const file of this.#canonicals.keys()) {
      if (path.dirname(file) === this.#store.folder(model)) this.#canonicals.delete(file)
    }
  }

  /** Writes the sub-model before its manifest: the manifest's presence means that both are complete. */
  async #write(stem: string, structure: Structure, from: number, to: number): Promise<RangeManifest> {
    const { model, shapesKey } = structure
    const written = await writeRange(await this.#canonical(structure), from, to, `${stem}.onnx`)
    const { inputs, outputs, passThrough, onnx } = written
    const manifest: RangeManifest = {
      model,
      shapesKey,
      from,
      to,
      inputs,
      outputs,
      passThrough,
      onnx: onnx && { bytes: onnx.bytes, sha256: onnx.sha256 },
      ...(structure.open && { peakBytes: peakBytes(structure, from, to) }),
      weights: await this.#weights(model, written.extents),
    }
    await writeWhole(`${stem}.json`, JSON.stringify(manifest))
    return manifest
  }

  /** Lists the chunks of the original files that contain the given extents, with their digests. */
  async #weights(id: ModelId, extents: readonly WeightExtent[]): Promise<RangeManifest['weights']> {
    if (extents.length === 0) return []
    const [record, chunks] = await Promise.all([this.#store.needRecord(id), this.#store.chunks(id)])
    const known = new Set(record.files.map((file) => file.path))
    const stray = extents.find((extent) => !known.has(path.posix.normalize(extent.path)))
    if (stray)
      throw new ScissionError(
        'internal',
        `a range of model ${id} points into ${stray.path}, which is none of its files`,
      )
    return record.files.flatMap((file) => {
      // A model may name its data `./weights.bin`.
      const own = extents.filter((extent) => path.posix.normalize(extent.path) === file.path)
      if (own.length === 0) return []
      const digests = chunks[file.path] ?? []
      const listed = chunkIndices(own).map((index) => {
        const sha256 = digests[index]
        if (sha256 !== undefined) return { index, sha256 }
        throw new ScissionError('internal', `chunk ${index} of ${file.path} of model ${id} has no digest`)
      })
      return [{ path: file.path, bytes: file.bytes, chunkBytes: CHUNK_BYTES, chunks: listed }]
    })
  }

  #canonical({ model, shapesKey }: Structure): Promise<CanonicalModel> {
    return this.#canonicals.forceFetch(canonicalPaths(this.#store.folder(model), shapesKey).canonical)
  }
}

/**
 * A range that was written before. Undefined, so that it is written again, if it does not list all bytes that its sub-model
 * refers to: earlier versions left out weights inside functions.
 */
async function storedRange(stem: string): Promise<RangeManifest | undefined> {
  const text = await readIfThere(`${stem}.json`)
  if (text === undefined) return undefined
  const manifest = RangeManifest.parse(JSON.parse(text))
  if (manifest.onnx === null) return manifest
  const files = manifest.weights.map((file) => ({
    ...file,
    held: new Set(file.chunks.map(({ index }) => index)),
  }))
  return firstMissing(externalExtents(await readFile(`${stem}.onnx`)), files) ? undefined : manifest
}

/** The largest sum of bytes of the tensors before and after one of these layers. */
function peakBytes({ boundaries, layers }: Structure, from: number, to: number): number {
  const sums = layers.slice(from, to).map(({ index, outputs }) => {
    const made = outputs.reduce((sum, { bytes }) => sum + bytes, 0)
    return (boundaries[index]?.bytes ?? 0) + made
  })
  return Math.max(0, ...sums)
}

/** Indices of the chunks that overlap the extents, ascending and without duplicates. */
export function chunkIndices(extents: readonly Pick<WeightExtent, 'offset' | 'length'>[]): number[] {
  const indices = new Set<number>()
  for (const { offset, length } of extents) {
    if (length === 0) continue
    const last = Math.floor((offset + length - 1) / CHUNK_BYTES)
    for (let index = Math.floor(offset / CHUNK_BYTES); index <= last; index += 1) indices.add(index)
  }
  return [...indices].sort((a, b) => a - b)
}
