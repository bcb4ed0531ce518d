/**
 * A weight file of which only some chunks are here: a sparse file of the original's size, each chunk at its own
 * offset, so that every layer range of a model shares it and ONNX Runtime maps it as if it were whole.
 *
 * `<file>.chunks` says which chunks are present. It is written after the data is on the disk, and replaced whole: a
 * chunk that it names has been verified and survives a crash; one that it does not name counts as missing. A chunk
 * that is present is never written again, because a running session may have it mapped.
 */
import fs from 'node:fs/promises'
import path from 'node:path'
import { z } from 'zod'
import { isAbsent } from './stored-manifest.ts'
import { writeWhole } from '../../../shared/platform/atomic-file.ts'

const Record = z.object({
  bytes: z.number().int().nonnegative(),
  chunkBytes: z.number().int().positive(),
  /** First and last index of each run of neighbouring chunks, both included. */
  present: z.array(z.tuple([z.number().int().nonnegative(), z.number().int().nonnegative()])),
})

export interface SparseShape {
  /** Size of the whole file. */
  bytes: number
  chunkBytes: number
}

export class SparseFile {
  readonly path: string
  readonly shape: SparseShape
  readonly present: Set<number>
  readonly #file: fs.FileHandle

  /** True when there was a file, but none of it counts: nobody else can rely on chunks of it either. */
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

  /** Opens or makes the file at its full size; a record of another size or chunk size does not count. */
  static async open(target: string, shape: SparseShape): Promise<SparseFile> {
    await fs.mkdir(path.dirname(target), { recursive: true })
    const present = await presentChunks(target, shape)
    if (present.size > 0) return new SparseFile(target, shape, present, await fs.open(target, 'r+'), false)
    // A new file, where there is one: whoever has the old one mapped keeps it.
    const replaced = await remove(target)
    const file = await fs.open(target, 'wx+')
    await file.truncate(shape.bytes)
    await writeRecord(target, shape, present)
    return new SparseFile(target, shape, present, file, replaced)
  }

  /** Writes a verified chunk. It counts after the next `commit`. */
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

  /** Makes what was written last a crash: first the data, then the record. */
  async commit(): Promise<void> {
    await this.sync()
    await writeRecord(this.path, this.shape, this.present)
  }

  async sync(): Promise<void> {
    await this.#file.datasync()
  }

  async close(): Promise<void> {
    await this.#file.close()
  }
}

/** @returns whether there was a file */
async function remove(target: string): Promise<boolean> {
  try {
    await fs.rm(target)
    return true
  } catch (thrown) {
    if (isAbsent(thrown)) return false
    throw thrown
  }
}

/** Bytes of chunk `index`: the last one is shorter. */
export function chunkLength({ bytes, chunkBytes }: SparseShape, index: number): number {
  return Math.min(chunkBytes, bytes - index * chunkBytes)
}

/** Chunks that the record names; none when the file is gone or not what the record says. */
export async function presentChunks(target: string, shape: SparseShape): Promise<Set<number>> {
  try {
    const stat = await fs.stat(target)
    const record = Record.parse(JSON.parse(await fs.readFile(recordPath(target), 'utf8')))
    const same = record.bytes === shape.bytes && record.chunkBytes === shape.chunkBytes
    if (!same || stat.size !== shape.bytes) return new Set()
    return expand(record.present, Math.ceil(shape.bytes / shape.chunkBytes))
  } catch (thrown) {
    if (isAbsent(thrown) || thrown instanceof SyntaxError || thrown instanceof z.ZodError) return new Set()
    throw thrown
  }
}

/** Replaces the record without touching the data: what eviction does first. */
export async function writeRecord(
  target: string,
  shape: SparseShape,
  present: ReadonlySet<number>,
): Promise<void> {
  const record: z.infer<typeof Record> = { ...shape, present: runsOf(present) }
  await writeWhole(recordPath(target), JSON.stringify(record))
}

export function recordPath(target: string): string {
  return `${target}.chunks`
}

/** Runs of neighbouring numbers, first and last included, in ascending order. */
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
