/**
 * Fetches the chunks of a weight file that a range needs and that are missing on this disk.
 *
 * Each run of neighbouring missing chunks is one request. A chunk is verified when it is complete, then written: a broken
 * transfer loses at most one chunk, and the next attempt asks for the chunks that are still missing. After
 * MAX_ATTEMPTS attempts in a row without a single chunk it gives up.
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ModelId } from '../../../shared/contracts/common.ts'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { RangeSource } from './range-source.ts'
import { chunkLength, runsOf, type SparseFile } from './sparse-file.ts'

type WeightFile = RangeManifest['weights'][number]

const MAX_ATTEMPTS = 3
const FIRST_PAUSE_MS = 100
/** Chunks per commit, which is also the most that a crash can lose. */
const CHUNKS_PER_COMMIT = 64

export interface Transfer {
  source: RangeSource
  model: ModelId
  file: SparseFile
  weights: WeightFile
  signal?: AbortSignal | undefined
}

/**
 * Fetches the missing chunks of `weights` into `file`.
 * @throws ScissionError peerUnavailable if the transfer fails repeatedly; notFound if the service does not have the file.
 */
export async function fetchChunks(transfer: Transfer): Promise<void> {
  const { file, weights, signal } = transfer
  for (let failures = 0; ; ) {
    const [run] = runsOf(weights.chunks.map(({ index }) => index).filter((index) => !file.present.has(index)))
    if (run === undefined) return
    const before = file.present.size
    try {
      await fetchRun(transfer, run)
    } catch (error) {
      failures = file.present.size > before ? 0 : failures + 1
      const worthRetrying = error instanceof ScissionError && error.code === 'peerUnavailable'
      if (!worthRetrying || failures >= MAX_ATTEMPTS) throw error
      await sleep(FIRST_PAUSE_MS * 2 ** failures, undefined, signal && { signal })
    }
  }
}

/** Fetches chunks first..last with one request. Chunks that arrived before a failure are kept. */
async function fetchRun(
  { source, model, file, weights, signal }: Transfer,
  [first, last]: readonly [number, number],
): Promise<void> {
  const { bytes, chunkBytes } = file.shape
  const digests = new Map(weights.chunks.map((chunk) => [chunk.index, chunk.sha256]))
  const end = Math.min(bytes, (last + 1) * chunkBytes)
  const parts = source.fileBytes(model, weights.path, first * chunkBytes, end, signal)
  const lengths = Array.from({ length: last - first + 1 }, (_, at) => chunkLength(file.shape, first + at))
  let index = first
  try {
    for await (const chunk of assemble(parts, lengths)) {
      verify(chunk, digests.get(index), weights.path, index)
      await file.write(index, chunk)
      index += 1
      if ((index - first) % CHUNKS_PER_COMMIT === 0) await file.commit()
    }
  } finally {
    if (index > first) await file.commit()
  }
  if (index <= last) throw broken(`${weights.path} ended in the middle of chunk ${index}`)
}

/** Regroups a stream into pieces of the given lengths. All pieces share one buffer: a piece is valid until the next. */
async function* assemble(parts: AsyncIterable<Buffer>, lengths: readonly number[]): AsyncGenerator<Buffer> {
  const piece = Buffer.allocUnsafe(Math.max(...lengths))
  let next = 0
  let filled = 0
  for await (const part of parts) {
    for (let offset = 0; offset < part.length && next < lengths.length; ) {
      const length = lengths[next] ?? 0
      const taken = part.copy(piece, filled, offset, offset + length - filled)
      offset += taken
      filled += taken
      if (filled < length) continue
      yield piece.subarray(0, length)
      next += 1
      filled = 0
    }
  }
}

function verify(data: Uint8Array, expected: string | undefined, path: string, index: number): void {
  const actual = createHash('sha256').update(data).digest('hex')
  if (actual === expected) return
  throw broken(`chunk ${index} of ${path} arrived with SHA-256 ${actual}, expected ${expected}`, {
    path,
    index,
  })
}

function broken(what: string, details: Record<string, unknown> = {}): ScissionError {
  return new ScissionError('peerUnavailable', `the benchmark service sent wrong bytes: ${what}`, {
    resource: 'benchmark service',
    ...details,
  })
}
