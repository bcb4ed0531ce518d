/** Benchmarks that real machines measure: on a busy computer one takes minutes, but it moves on all the while. */
import { setTimeout as sleep } from 'node:timers/promises'
import type { BenchmarkClient } from '../../shared/client/benchmark.ts'
import type { Benchmark } from '../../shared/contracts/profile.ts'
import { PATIENCE_MS } from './patience.ts'

/** Each question takes time from what is measured. */
const EVERY_MS = 100

/**
 * Starts a benchmark and waits for its end, as long as it makes progress.
 * @throws if a part failed, or if nothing moved for PATIENCE_MS.
 */
export async function measured(
  client: BenchmarkClient,
  request: Parameters<BenchmarkClient['startBenchmark']>[0],
): Promise<Benchmark> {
  let benchmark = await client.startBenchmark(request)
  let moved = performance.now()
  while (['waiting', 'active'].includes(benchmark.state)) {
    await sleep(EVERY_MS)
    const next = await client.benchmark(benchmark.id)
    if (seen(next) !== seen(benchmark)) moved = performance.now()
    else if (performance.now() - moved > PATIENCE_MS)
      throw new Error(`no progress in ${PATIENCE_MS} ms: ${JSON.stringify(next)}`)
    benchmark = next
  }
  if (benchmark.state !== 'completed') throw new Error(`not measured: ${JSON.stringify(benchmark)}`)
  return benchmark
}

/** What moves. How long it will take is foretold anew without anything having moved. */
const seen = ({ parts }: Benchmark) =>
  JSON.stringify(parts.map(({ state, progress }) => [state, progress?.step, progress?.fraction]))
