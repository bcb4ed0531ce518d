/**
 * Which layer ranges are on the disk as files, and how much they take together. Anybody can ask for any of the many ranges of a
 * model, and each is written at its first request: those not asked for longest are removed, and are written again if needed.
 */
import { readdir, rm } from 'node:fs/promises'
import path from 'node:path'
import { LRUCache } from 'lru-cache'
import { statIfThere } from '../../../shared/platform/atomic-file.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { ModelStore } from './model-store.ts'

/** Small ranges take a block of the disk and an entry of their folder all the same. */
const MAX_COUNT = 10_000
/** The manifest of a range: `<shapes key>.<from>-<to>.json`. */
const MANIFEST = /^[0-9a-f]{12}\.\d+-\d+\.json$/

/** Files of a range: the sub-model, if it has layers, and its manifest. */
const filesOf = (stem: string) => [`${stem}.json`, `${stem}.onnx`]

export class WrittenRanges {
  readonly #store: Pick<ModelStore, 'all' | 'folder'>
  readonly #ranges: LRUCache<string, { bytes: number }>
  readonly #log: Logger
  #found: Promise<void> | undefined

  /** @param limitBytes of all ranges of all models. */
  constructor(store: Pick<ModelStore, 'all' | 'folder'>, limitBytes: number, log: Logger) {
    this.#store = store
    this.#log = log
    this.#ranges = new LRUCache({
      max: MAX_COUNT,
      maxSize: limitBytes,
      // A range that is larger than the limit stays alone.
      sizeCalculation: ({ bytes }) => Math.min(Math.max(1, bytes), limitBytes),
      dispose: (_range, stem, reason) => {
        if (reason === 'evict') void this.#remove(stem)
      },
    })
  }

  /** Notes that a range is used. To be called under its lock, when its files are there. @param stem their path without extension. */
  async used(stem: string): Promise<void> {
    await (this.#found ??= this.#find())
    if (this.#ranges.get(stem)) return
    this.#ranges.set(stem, { bytes: await bytesOf(stem) })
  }

  /** Those that an earlier run has written, the latest last. */
  async #find(): Promise<void> {
    const found: { stem: string; bytes: number; writtenMs: number }[] = []
    for (const { id } of await this.#store.all()) {
      const folder = this.#store.folder(id)
      for (const name of await readdir(folder).catch(() => [])) {
        if (!MANIFEST.test(name)) continue
        const stem = path.join(folder, name.slice(0, -'.json'.length))
        const writtenMs = (await statIfThere(`${stem}.json`))?.mtimeMs ?? 0
        found.push({ stem, bytes: await bytesOf(stem), writtenMs })
      }
    }
    for (const { stem, bytes } of found.sort((a, b) => a.writtenMs - b.writtenMs))
      this.#ranges.set(stem, { bytes })
  }

  /** The manifest first: without it the range counts as not written. */
  async #remove(stem: string): Promise<void> {
    try {
      for (const file of filesOf(stem)) await rm(file, { force: true })
    } catch (thrown) {
      this.#log.warn({ err: coerceError(thrown) }, `the files of layer range ${stem} could not be removed`)
    }
  }
}

async function bytesOf(stem: string): Promise<number> {
  const stats = await Promise.all(filesOf(stem).map(statIfThere))
  return stats.reduce((sum, stat) => sum + (stat?.size ?? 0), 0)
}
