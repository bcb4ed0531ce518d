/**
 * Makes room in the cache: ranges that nobody has open go, least recently used first.
 *
 * A chunk goes when no range that stays needs it. A sparse file cannot give back a chunk in place (and must not: a
 * session may have it mapped), so a file that loses some chunks is rebuilt beside itself and renamed over. Its record
 * is shortened first: at every moment the record names no chunk that is not there.
 */
import fs from 'node:fs/promises'
import path from 'node:path'
import type { RangeManifest } from '../../../shared/contracts/range.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { keyText, rangeName } from './range-key.ts'
import type { KeyedLock } from '../../../shared/platform/keyed-lock.ts'
import { isAbsent, readManifest } from './stored-manifest.ts'
import { recordPath, SparseFile, type SparseShape, writeRecord } from './sparse-file.ts'
import { PARTIAL } from '../../../shared/platform/atomic-file.ts'

/** Open ranges by `keyText`; also those whose bytes are still on their way. */
export type InUse = Map<string, { count: number; manifest: RangeManifest }>

interface Cached {
  folder: string
  manifest: RangeManifest
  lastUsedMs: number
}

/** What stat(2) calls a block, whatever the file system's own. */
const BLOCK_BYTES = 512

export interface Room {
  /** Folder of the models' folders. */
  models: string
  limitBytes: number
  inUse: InUse
  locks: KeyedLock
}

/**
 * @param needed bytes about to be written
 * @throws ScissionError conflict when what is in use leaves too little below the limit.
 */
export async function makeRoom({ models, limitBytes, inUse, locks }: Room, needed: number): Promise<void> {
  const fits = async () => (await usedBytes(models)) + needed <= limitBytes
  if (await fits()) return
  const leaving = (await cachedRanges(models)).sort((a, b) => a.lastUsedMs - b.lastUsedMs)
  for (const range of leaving) {
    if (inUse.has(keyText(range.manifest))) continue
    await removeRange(range)
    await dropChunks(range.folder, inUse, locks)
    if (await fits()) return
  }
  // Chunks of transfers that were never finished belong to no range.
  for (const folder of await folders(models)) await dropChunks(folder, inUse, locks)
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

async function cachedRanges(models: string): Promise<Cached[]> {
  const found = await Promise.all((await folders(models)).map((folder) => rangesIn(folder)))
  return found.flat()
}

async function rangesIn(folder: string): Promise<Cached[]> {
  const ranges: Cached[] = []
  for (const name of await fs.readdir(folder)) {
    if (!/^[0-9a-f]{12}\.\d+-\d+\.json$/.test(name)) continue
    const file = path.join(folder, name)
    const manifest = await readManifest(file)
    const { mtimeMs } = await fs.stat(file)
    if (manifest) ranges.push({ folder, manifest, lastUsedMs: mtimeMs })
  }
  return ranges
}

/** The manifest goes first: without it the range counts as not here. */
async function removeRange({ folder, manifest }: Cached): Promise<void> {
  const name = rangeName(manifest)
  await fs.rm(path.join(folder, `${name}.json`), { force: true })
  const rest = (await fs.readdir(folder)).filter((file) => file.startsWith(`${name}.`))
  for (const file of rest) await fs.rm(path.join(folder, file), { force: true })
}

/** Frees every chunk in a model's folder that neither a range on disk nor one in use needs. */
async function dropChunks(folder: string, inUse: InUse, locks: KeyedLock): Promise<void> {
  for (const file of await weightFiles(folder)) {
    const target = path.join(folder, file)
    await locks.run(target, async () => {
      const needed = await neededChunks(folder, file, inUse)
      if (needed.shape !== undefined) await shrink(target, needed.shape, needed.chunks)
      else await removeFile(target)
    })
  }
}

async function weightFiles(folder: string): Promise<string[]> {
  const entries = await fs.readdir(folder, { recursive: true })
  return entries
    .filter((entry) => entry.endsWith('.chunks'))
    .map((entry) => entry.slice(0, -'.chunks'.length))
}

/** `shape` is undefined when no range needs the file at all. */
async function neededChunks(
  folder: string,
  file: string,
  inUse: InUse,
): Promise<{ shape?: SparseShape; chunks: Set<number> }> {
  const model = path.basename(folder)
  const open = [...inUse.values()].map(({ manifest }) => manifest).filter((range) => range.model === model)
  const here = (await rangesIn(folder)).map(({ manifest }) => manifest)
  const uses = [...open, ...here].flatMap((range) => range.weights.filter((weights) => weights.path === file))
  const chunks = new Set(uses.flatMap((weights) => weights.chunks.map((chunk) => chunk.index)))
  const [first] = uses
  return first ? { shape: { bytes: first.bytes, chunkBytes: first.chunkBytes }, chunks } : { chunks }
}

async function removeFile(target: string): Promise<void> {
  await fs.rm(recordPath(target), { force: true })
  await fs.rm(target, { force: true })
}

async function shrink(target: string, shape: SparseShape, needed: ReadonlySet<number>): Promise<void> {
  const old = await SparseFile.open(target, shape)
  try {
    const kept = new Set([...old.present].filter((index) => needed.has(index)))
    if (kept.size === old.present.size) return
    await writeRecord(target, shape, kept)
    const fresh = await SparseFile.open(target + PARTIAL, shape)
    for (const index of kept) await fresh.write(index, await old.read(index))
    await fresh.sync()
    await fresh.close()
    await fs.rename(target + PARTIAL, target)
  } finally {
    await old.close()
  }
}

/** Bytes on the disk, holes not counted. */
async function usedBytes(folder: string): Promise<number> {
  const entries = await fs.readdir(folder, { recursive: true, withFileTypes: true })
  const files = entries.filter((entry) => entry.isFile())
  const sizes = await Promise.all(files.map((entry) => blocks(path.join(entry.parentPath, entry.name))))
  return sizes.reduce((sum, size) => sum + size, 0)
}

/** 0 for a file that was renamed or removed meanwhile. */
async function blocks(file: string): Promise<number> {
  try {
    const stat = await fs.stat(file)
    return stat.blocks * BLOCK_BYTES
  } catch (thrown) {
    if (isAbsent(thrown)) return 0
    throw thrown
  }
}
