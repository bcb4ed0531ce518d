/** Many inputs of a target, in child processes: an input at which one ends, or hangs, is told, and the next goes on behind it. */
import { coerceError } from '../../shared/platform/errors.ts'
import { runInLimitedChild } from '../../shared/platform/processes/limited-child.ts'
import type { JobInput, JobOutput } from './job.ts'
import type { Target } from './target.ts'

/** Of one process. */
const MEMORY_BYTES = 3 * 2 ** 30
/** For starting, beside what the inputs take. */
const START_MS = 120_000
/** Inputs that one process runs. */
const BATCH = 10_000
/** Far more than an input takes on the mean. */
const MEAN_MS = 300

export interface Fuzzed {
  target: string
  inputs: number
  tookMs: number
  slowestMs: number
  grownBytes: number
  /** As they are printed. */
  broken: string[]
}

export async function runMany(target: Target, seed: number, count: number): Promise<Fuzzed> {
  const all: Fuzzed = { target: target.name, inputs: 0, tookMs: 0, slowestMs: 0, grownBytes: 0, broken: [] }
  let at = seed
  while (at < seed + count) {
    const size = Math.min(BATCH, seed + count - at)
    at = await runBatch(target, at, size, all)
  }
  return all
}

/** @returns the seed behind the last input that ran. */
async function runBatch(target: Target, seed: number, count: number, all: Fuzzed): Promise<number> {
  let current = seed
  const startedAt = performance.now()
  try {
    const ran = await runInLimitedChild<JobInput, JobOutput, number>({
      module: new URL('./job.ts', import.meta.url),
      input: { target: target.name, seed, count },
      timeoutMs: START_MS + target.deadlineMs + MEAN_MS * count,
      memoryLimitBytes: MEMORY_BYTES,
      doing: `fuzzing ${target.name}`,
      onProgress: (now) => (current = now),
    })
    add(all, ran)
    return seed + count
  } catch (thrown) {
    const why = coerceError(thrown).message
    all.broken.push(`${target.name}, at or soon after seed ${current}: its process ended: ${why}`)
    all.inputs += current - seed + 1
    all.tookMs += performance.now() - startedAt
    return current + 1
  }
}

function add(all: Fuzzed, ran: JobOutput): void {
  all.inputs += ran.inputs
  all.tookMs += ran.tookMs
  all.slowestMs = Math.max(all.slowestMs, ran.slowestMs)
  all.grownBytes = Math.max(all.grownBytes, ran.grownBytes)
  all.broken.push(...ran.broken.map((one) => one.told))
}
