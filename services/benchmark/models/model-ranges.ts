/**
 * Writes layer ranges as files: a small ONNX sub-model whose weights refer to the original file, and a manifest with the
 * range's inputs and outputs and the chunks of the original that hold its weights. Both are written at the first request,
 * into the model's folder, because external data must be in the folder of the model that uses it.
 */
import { readIfThere, writeWhole } from '../../../shared/platform/atomic-file.ts'
import path from 'node:path'
import type { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import type { Model, Structure } from '../../../shared/contracts/model.ts'
import { CHUNK_BYTES, RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { canonicalPaths, checkRange, type WeightExtent } from '../../../shared/onnx/index.ts'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import type { Analyses } from './analyses.ts'
import type { ModelFiles } from './model-files.ts'
import type { ModelStore } from './model-store.ts'
import type { WrittenRanges } from './written-ranges.ts'

export interface RangeFiles {
  manifest: RangeManifest
  /** Path of the sub-model; null if the range contains no layer. */
  file: string | null
}

export class Ranges {
  readonly #store: ModelStore
  readonly #analyses: Analyses
  readonly #locks = new KeyedLock()
  readonly #files: ModelFiles
  readonly #written: WrittenRanges

  constructor(store: ModelStore, analyses: Analyses, files: ModelFiles, written: WrittenRanges) {
    this.#store = store
    this.#analyses = analyses
    this.#files = files
    this.#written = written
  }

  /**
   * @throws ScissionError invalidRange, which names the number of layers; needsInputShapes or notFound for the shapes; notFound if
   * the model's files are not here, as of one whose measurements were imported.
   */
  async get(
    model: Model,
    from: number,
    to: number,
    key: ShapesKey | undefined,
    asker: Asker,
  ): Promise<RangeFiles> {
    const structure =
      key === undefined
        ? await this.#analyses.structure(model, asker)
        : await this.#analyses.byKey(model, key, asker)
    checkRange(structure, from, to)
    const stem = path.join(this.#store.folder(model.id), `${structure.shapesKey}.${from}-${to}`)
    const manifest = await this.#locks.run(stem, async () => {
      const there =
        (await this.#stored(stem, asker)) ??
        (await this.#store.working(model.id, () => this.#write(stem, structure, { from, to }, asker)))
      await this.#written.used(stem)
      return there
    })
    return { manifest, file: manifest.onnx === null ? null : `${stem}.onnx` }
  }

  /**
   * A range that was written before. Undefined, so that it is written again, if it does not list all bytes that its sub-model
   * refers to: earlier versions left out weights inside functions.
   */
  async #stored(stem: string, asker: Asker): Promise<RangeManifest | undefined> {
    const text = await readIfThere(`${stem}.json`)
    if (text === undefined) return undefined
    const manifest = RangeManifest.parse(JSON.parse(text))
    if (manifest.onnx === null) return manifest
    return (await this.#files.isListed(`${stem}.onnx`, manifest.weights, asker)) ? manifest : undefined
  }

  /** Writes the sub-model before its manifest: the manifest's presence means that both are complete. */
  async #write(
    stem: string,
    structure: Structure,
    { from, to }: { from: number; to: number },
    asker: Asker,
  ): Promise<RangeManifest> {
    const { model, shapesKey } = structure
    const { canonical } = canonicalPaths(this.#store.folder(model), shapesKey)
    const written = await this.#files.writeRange({ canonical, from, to, file: `${stem}.onnx` }, asker)
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
    // A model may name its data `./weights.bin`.
    const byPath = new Map<string, WeightExtent[]>()
    for (const extent of extents) {
      const location = path.posix.normalize(extent.path)
      const same = byPath.get(location)
      if (same) same.push(extent)
      else byPath.set(location, [extent])
    }
    const known = new Set(record.files.map((file) => file.path))
    const stray = [...byPath.keys()].find((location) => !known.has(location))
    if (stray !== undefined)
      throw new ScissionError(
        'internal',
        `a range of model ${id} points into ${stray}, which is none of its files`,
      )
    return record.files.flatMap((file) => {
      const own = byPath.get(file.path)
      if (!own) return []
      const digests = chunks[file.path] ?? []
      const listed = chunkIndices(own).map((index) => {
        const sha256 = digests[index]
        if (sha256 !== undefined) return { index, sha256 }
        throw new ScissionError('internal', `chunk ${index} of ${file.path} of model ${id} has no digest`)
      })
      return [{ path: file.path, bytes: file.bytes, chunkBytes: CHUNK_BYTES, chunks: listed }]
    })
  }
}

/** The largest sum of bytes of the tensors before and after one of these layers. */
function peakBytes({ boundaries, layers }: Structure, from: number, to: number): number {
  const sums = layers.slice(from, to).map(({ index, outputs }) => {
    const made = outputs.reduce((sum, { bytes }) => sum + bytes, 0)
    return (boundaries[index]?.bytes ?? 0) + made
  })
  return sums.reduce((most, bytes) => Math.max(most, bytes), 0)
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
