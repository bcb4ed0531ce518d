/**
 * Evicts layer ranges from the disk, least recently used first. Open ranges stay. The entries are files that outlive the
 * process and share chunks, so that the size of one entry depends on the others: an in-memory LRU cache does not fit.
 *
 * A chunk is removed if no remaining range needs it. It cannot be removed in place (a session may have mapped the file):
 * the file is rebuilt without it under another name, then renamed. The record is shortened first, so that at no time it
 * lists a chunk that is missing.
 */
import { PARTIAL, replaceFile, statIfThere } from '../../../shared/platform/atomic-file.ts'
import type { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import fs from 'node:fs/promises'
import path from 'node:path'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { readManifest } from './stored-range.ts'
import { RECORD, recordPath, SparseFile, type SparseShape, writeRecord } from './sparse-file.ts'

interface Cached {
  folder: string
  /** Name of its files without extension. */
  name: string
  /** Undefined if it is damaged or missing: then the range counts as absent, and leaves first. */
  manifest: RangeManifest | undefined
  lastUsedMs: number
}

/** Unit of `blocks` in stat(2), independent of the file system's block size. */
const BLOCK_BYTES = 512

export interface RangeCache {
  /** Folder that holds one folder per model. */
  models: string
  limitBytes: number
  /** Open ranges by `keyText`, those that are still being fetched included. */
  inUse: Map<string, { count: number; manifest: RangeManifest }>
  locks: KeyedLock
  log: Logger | undefined
}

/**
 * Evicts ranges until `needed` more bytes fit below the limit.
 * @param needed number of bytes that will be written.
 * @throws ScissionError conflict if they do not fit beside the open ranges.
 */
export async function makeRoom(cache: RangeCache, needed: number): Promise<void> {
  const { models, limitBytes, inUse } = cache
  const fits = async () => (await usedBytes(models)) + needed <= limitBytes
  if (await fits()) return
  const ranges = await Promise.all((await folders(models)).map((folder) => rangesIn(folder, cache.log)))
  for (const range of ranges.flat().sort((a, b) => a.lastUsedMs - b.lastUsedMs)) {
    if (inUse.has(`${path.basename(range.folder)}.${range.name}`)) continue
    await removeRange(range)
    await dropChunks(range.folder, cache)
    if (await fits()) return
  }
  // Unfinished transfers leave chunks that belong to no range.
  for (const folder of await folders(models)) await dropChunks(folder, cache)
  if (await fits()) return
  throw new ScissionError(
    'conflict',
    `${needed} bytes more do not fit into the cache of ${limitBytes} bytes beside the layer ranges in use; ` +
      'raise SCISSION_CACHE_BYTES or remove a deployment',
    { needed, limitBytes, usedBytes: await usedBytes(models) },
  )
}

async function folders(models: string): Promise<string[]> {
  const entries = await fs.readdir(models, { withFileTypes: true })
  return entries.filter((entry) => entry.isDirectory()).map((entry) => path.join(models, entry.name))
}

/** Includes ranges of which a crash left files without a manifest. */
async function rangesIn(folder: string, log: Logger | undefined): Promise<Cached[]> {
  const files = await fs.readdir(folder)
  const names = new Set(files.flatMap((file) => /^([0-9a-f]{12}\.\d+-\d+)\./.exec(file)?.[1] ?? []))
  const ranges: Cached[] = []
  for (const name of names) {
    const file = path.join(folder, `${name}.json`)
    const manifest = await readManifest(file, log)
    const lastUsedMs = manifest ? ((await statIfThere(file))?.mtimeMs ?? 0) : 0
    ranges.push({ folder, name, manifest, lastUsedMs })
  }
  return ranges
}

/** The manifest is removed first: without it the range counts as absent. */
async function removeRange({ folder, name }: Cached): Promise<void> {
  await fs.rm(path.join(folder, `${name}.json`), { force: true })
  const rest = (await fs.readdir(folder)).filter((file) => file.startsWith(`${name}.`))
  for (const file of rest) await fs.rm(path.join(folder, file), { force: true })
}

/** Removes every chunk in the folder of a model that no range on the disk and no open range needs. */
async function dropChunks(folder: string, cache: RangeCache): Promise<void> {
  for (const file of await weightFiles(folder)) {
    const target = path.join(folder, file)
    await cache.locks.run(target, async () => {
      const { shape, chunks } = await neededChunks(folder, file, cache)
      if (shape) return shrink(target, shape, chunks, cache.log)
      await fs.rm(recordPath(target), { force: true })
      await fs.rm(target, { force: true })
    })
  }
}

async function weightFiles(folder: string): Promise<string[]> {
  const entries = await fs.readdir(folder, { recursive: true })
  return entries.filter((entry) => entry.endsWith(RECORD)).map((entry) => entry.slice(0, -RECORD.length))
}

/** Chunks of a weight file that ranges need. `shape` is undefined if no range needs the file. */
async function neededChunks(folder: string, file: string, { inUse, log }: RangeCache) {
  const model = path.basename(folder)
  const open = [...inUse.values()].map(({ manifest }) => manifest).filter((range) => range.model === model)
  const here = (await rangesIn(folder, log)).flatMap(({ manifest }) => manifest ?? [])
  const uses = [...open, ...here].flatMap((range) => range.weights.filter((weights) => weights.path === file))
  const chunks = new Set(uses.flatMap((weights) => weights.chunks.map((chunk) => chunk.index)))
  const shape: SparseShape | undefined = uses[0]
  return { shape, chunks }
}

async function shrink(
  target: string,
  shape: SparseShape,
  needed: ReadonlySet<number>,
  log: Logger | undefined,
): Promise<void> {
  const old = await SparseFile.open(target, shape, log)
  try {
    const kept = new Set([...old.present].filter((index) => needed.has(index)))
    if (kept.size === old.present.size) return
    await writeRecord(target, shape, kept)
    const copyKept = async (partial: string) => {
      const fresh = await SparseFile.open(partial, shape)
      try {
        for (const index of kept) await fresh.write(index, await old.read(index))
        await fresh.sync()
      } finally {
        await fresh.close()
      }
    }
    await replaceFile(target, copyKept, target + PARTIAL)
  } finally {
    await old.close()
  }
}

/** Bytes that the files of a folder occupy on the disk; holes of sparse files do not count. */
async function usedBytes(folder: string): Promise<number> {
  const entries = await fs.readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const stats = await Promise.all(files.map((entry) => statIfThere(path.join(entry.parentPath, entry.name))))
  // A file may have been renamed or removed meanwhile.
  return stats.reduce((sum, stat) => sum + (stat?.blocks ?? 0) * BLOCK_BYTES, 0)
}
