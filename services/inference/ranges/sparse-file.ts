/**
 * A weight file of which only some chunks are on this disk: a sparse file with the size of the original and each chunk at
 * its original offset. All layer ranges of a model share it, and ONNX Runtime maps it like the complete file.
 *
 * The record `<file>.scission-chunks` lists the chunks that are present. It is written after the data is on the disk and replaced
 * as a whole: a listed chunk has been verified and survives a crash; a chunk that is not listed counts as missing. A
 * present chunk is never written again, because a running session may have mapped it.
 */
import fs from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { OWN_MARK } from '../../../shared/contracts/file-names.ts'
import { statIfThere, writeWhole } from '../../../shared/platform/atomic-file.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { readStoredJson } from '../../../shared/platform/outside-input.ts'

const Record = z.object({
  bytes: z.number().int().nonnegative(),
  chunkBytes: z.number().int().positive(),
  /** First and last index of each run of neighbouring chunks, both included. */
  present: z.array(z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()])),
})

/** How names of records end. */
export const RECORD = `${OWN_MARK}chunks`

export interface SparseShape {
  /** Size of the complete file. */
  bytes: number
  chunkBytes: number
}

export class SparseFile {
  readonly path: string
  readonly shape: SparseShape
  readonly present: Set<number>
  readonly #file: fs.FileHandle

  /** True if `open` replaced a file whose chunks do not count: chunks that other ranges rely on are missing too. */
  readonly replaced: boolean

  private constructor(
    target: string,
    shape: SparseShape,
    present: Set<number>,
    file: fs.FileHandle,
    replaced: boolean,
  ) {
    this.path = target
    this.shape = shape
    this.present = present
    this.#file = file
    this.replaced = replaced
  }

  /**
   * Opens the file, or creates it with its full size. A file with a damaged record, or a record of another size or chunk
   * size, is replaced.
   */
  static async open(target: string, shape: SparseShape, log?: Logger): Promise<SparseFile> {
    await fs.mkdir(path.dirname(target), { recursive: true })
    const present = await presentChunks(target, shape, log)
    if (present.size > 0) return new SparseFile(target, shape, present, await fs.open(target, 'r+'), false)
    // An existing file is removed, not overwritten: sessions that have mapped it keep its content.
    const replaced = (await statIfThere(target)) !== undefined
    await fs.rm(target, { force: true })
    const file = await fs.open(target, 'wx+')
    await file.truncate(shape.bytes)
    await writeRecord(target, shape, present)
    return new SparseFile(target, shape, present, file, replaced)
  }

  /** Writes a verified chunk. It survives a crash after the next `commit`. */
  async write(index: number, data: Uint8Array): Promise<void> {
    const start = index * this.shape.chunkBytes
    for (let written = 0; written < data.byteLength; ) {
      const { bytesWritten } = await this.#file.write(data, written, null, start + written)
      written += bytesWritten
    }
    this.present.add(index)
  }

  async read(index: number): Promise<Buffer> {
    const data = Buffer.alloc(chunkLength(this.shape, index))
    await this.#file.read(data, 0, data.length, index * this.shape.chunkBytes)
    return data
  }

  /** Makes the written chunks survive a crash: first the data, then the record. */
  async commit(): Promise<void> {
    await this.sync()
    await writeRecord(this.path, this.shape, this.present)
  }

  /** Flushes the data, not the record, to the disk. */
  async sync(): Promise<void> {
    await this.#file.datasync()
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

/** Length of chunk `index` in bytes: the last chunk may be shorter. */
export function chunkLength({ bytes, chunkBytes }: SparseShape, index: number): number {
  return Math.min(chunkBytes, bytes - index * chunkBytes)
}

/** Indices of the present chunks; empty if the file does not exist or does not match its record. */
export async function presentChunks(
  target: string,
  { bytes, chunkBytes }: SparseShape,
  log: Logger | undefined,
): Promise<Set<number>> {
  const record = await readStoredJson(Record, recordPath(target), log)
  const same = record?.bytes === bytes && record.chunkBytes === chunkBytes
  if (!same || (await statIfThere(target))?.size !== bytes) return new Set()
  return expand(record.present, Math.ceil(bytes / chunkBytes))
}

/** Replaces the record only: eviction does so before it removes data. */
export async function writeRecord(
  target: string,
  { bytes, chunkBytes }: SparseShape,
  present: ReadonlySet<number>,
): Promise<void> {
  const record: z.infer<typeof Record> = { bytes, chunkBytes, present: runsOf(present) }
  await writeWhole(recordPath(target), JSON.stringify(record))
}

export function recordPath(target: string): string {
  return target + RECORD
}

/** First and last number of each run of neighbouring numbers, in ascending order. */
export function runsOf(numbers: Iterable<number>): [number, number][] {
  const runs: [number, number][] = []
  for (const index of [...numbers].sort((a, b) => a - b)) {
    const last = runs.at(-1)
    if (last !== undefined && index === last[1] + 1) last[1] = index
    else runs.push([index, index])
  }
  return runs
}

function expand(runs: readonly (readonly [number, number])[], count: number): Set<number> {
  const present = new Set<number>()
  for (const [first, last] of runs)
    for (let index = first; index <= last && index < count; index++) present.add(index)
  return present
}
