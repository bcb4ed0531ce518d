/** Starts a benchmark and waits for its end, and shows the progress of each resource. */
import type { BenchmarkClient } from '../../shared/client/benchmark.ts'
import type { Benchmark, BenchmarkRequest } from '../../shared/contracts/profile.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import type { z } from 'zod'
import type { ProgressDisplay } from '../terminal/progress.ts'
import { pollUntil } from './poll-until.ts'

const POLL_MS = 250

/**
 * @returns the completed benchmark.
 * @param signal ends the wait; the benchmark itself goes on.
 * @throws ScissionError that names the parts that failed; the reason of `signal`.
 */
export async function runBenchmark(
  client: BenchmarkClient,
  request: z.input<typeof BenchmarkRequest>,
  display: ProgressDisplay,
  signal?: AbortSignal,
): Promise<Benchmark> {
  const { id } = await client.startBenchmark(request)
  const shown = async () => {
    const benchmark = await client.benchmark(id)
    for (const part of benchmark.parts) display.update(part.resource, part.progress)
    return benchmark
  }
  const isOver = ({ state }: Benchmark) => state !== 'waiting' && state !== 'active'
  const often = { everyMs: POLL_MS, ...(signal && { signal }) }
  const benchmark = await pollUntil(shown, isOver, often).finally(() => display.stop())
  if (benchmark.state === 'completed') return benchmark
  const missing = benchmark.parts.filter((part) => part.state !== 'completed')
  const reasons = missing.map(
    (part) => `${part.resource} ${part.state}${part.error ? `: ${part.error}` : ''}`,
  )
  throw new ScissionError('internal', `benchmark ${id} ${benchmark.state}: ${reasons.join('; ')}`, {
    benchmark: id,
  })
}
