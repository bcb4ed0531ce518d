/**
 * Brings the chunks of a weight file that a range needs and that are not here yet.
 *
 * Neighbouring missing chunks are one request; each chunk is verified as it completes and only then written, so a
 * transfer that breaks has lost at most one chunk, and the next attempt asks for what is still missing. An attempt
 * that brings at least one chunk is progress; three in a row that bring none are the end.
 */
import { createHash } from 'node:crypto'
import { setTimeout as sleep } from 'node:timers/promises'
import type { ModelId } from '../../../shared/contracts/common.ts'
import type { RangeManifest } from '../../../shared/contracts/range-manifest.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { RangeSource } from './range-source.ts'
import { chunkLength, runsOf, type SparseFile } from './sparse-file.ts'

type WeightFile = RangeManifest['weights'][number]

const ATTEMPTS = 3
const FIRST_PAUSE_MS = 100
/** After a crash at most this many chunks are fetched again. */
const COMMIT_EVERY = 64

function missingChunks(file: SparseFile, weights: WeightFile): WeightFile['chunks'] {
  return weights.chunks.filter((chunk) => !file.present.has(chunk.index))
}

export interface Transfer {
  source: RangeSource
  model: ModelId
  file: SparseFile
  weights: WeightFile
  signal?: AbortSignal | undefined
}

/** @throws ScissionError peerUnavailable when it does not come; notFound when the service does not have it. */
export async function fetchChunks(transfer: Transfer): Promise<void> {
  const { file, weights, signal } = transfer
  for (let failures = 0; ; ) {
    const [run] = runsOf(missingChunks(file, weights).map((chunk) => chunk.index))
    if (run === undefined) return
    const before = file.present.size
    try {
      await fetchRun(transfer, run)
    } catch (error) {
      failures = file.present.size > before ? 0 : failures + 1
      const worthRetrying = error instanceof ScissionError && error.code === 'peerUnavailable'
      if (!worthRetrying || failures >= ATTEMPTS) throw error
      await sleep(FIRST_PAUSE_MS * 2 ** failures, undefined, signal && { signal })
    }
  }
}

/** One request for chunks first..last; what arrived whole stays, also when it fails. */
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
      if ((index - first) % COMMIT_EVERY === 0) await file.commit()
    }
  } finally {
    if (index > first) await file.commit()
  }
  if (index <= last) throw broken(`${weights.path} ended in the middle of chunk ${index}`)
}

/** Regroups a stream into pieces of the given lengths; each piece is overwritten by the next one. */
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
