/** `scission infer --repeat N --concurrency M`: the same request many times, and what it took. */
import pLimit from 'p-limit'
import { mean, quantile } from '../../../shared/platform/statistics.ts'

/** Milliseconds, as the client sees them; exact. */
export interface RepeatTimes {
  requests: number
  concurrency: number
  /** The first request may load layers: it is in all figures too. */
  firstMs: number
  lastMs: number
  minMs: number
  medianMs: number
  meanMs: number
  p90Ms: number
  p95Ms: number
  p99Ms: number
  maxMs: number
  requestsPerSecond: number
  samplesMs: number[]
}

/** @throws what the first request that fails throws. Those that have begun are waited for. */
export async function repeatRequests<T>(
  request: () => Promise<T>,
  { repeat, concurrency }: { repeat: number; concurrency: number },
): Promise<{ last: T; times: RepeatTimes }> {
  const limit = pLimit(Math.min(concurrency, repeat))
  const samplesMs: number[] = []
  let failure: { thrown: unknown } | undefined
  let last: T | undefined
  const begin = performance.now()
  const once = async () => {
    if (failure) return
    const start = performance.now()
    try {
      last = await request()
      samplesMs.push(performance.now() - start)
    } catch (thrown) {
      failure ??= { thrown }
    }
  }
  await Promise.all(Array.from({ length: repeat }, () => limit(once)))
  if (failure) throw failure.thrown
  return { last: last as T, times: timesOf(samplesMs, concurrency, performance.now() - begin) }
}

function timesOf(samplesMs: number[], concurrency: number, wholeMs: number): RepeatTimes {
  return {
    requests: samplesMs.length,
    concurrency,
    firstMs: samplesMs[0] ?? Number.NaN,
    lastMs: samplesMs.at(-1) ?? Number.NaN,
    minMs: Math.min(...samplesMs),
    medianMs: quantile(samplesMs, 0.5),
    meanMs: mean(samplesMs),
    p90Ms: quantile(samplesMs, 0.9),
    p95Ms: quantile(samplesMs, 0.95),
    p99Ms: quantile(samplesMs, 0.99),
    maxMs: Math.max(...samplesMs),
    requestsPerSecond: (1000 * samplesMs.length) / wholeMs,
    samplesMs,
  }
}
