/** Benchmarks that real machines measure: on a busy computer one takes minutes, but it moves on all the while. */
import { runBenchmark } from '../../infra/steps/run-benchmark.ts'
import type { BenchmarkClient } from '../../shared/client/benchmark.ts'
import type { Benchmark, BenchmarkProgress } from '../../shared/contracts/profile.ts'
import { PATIENCE_MS } from './patience.ts'

/**
 * Starts a benchmark and waits for its end, as long as it makes progress.
 * @throws if a part failed, or if nothing moved for PATIENCE_MS.
 */
export async function measured(
  client: BenchmarkClient,
  request: Parameters<BenchmarkClient['startBenchmark']>[0],
): Promise<Benchmark> {
  const stuck = new AbortController()
  const last = new Map<string, string>()
  const giveUp = () =>
    stuck.abort(new Error(`no progress in ${PATIENCE_MS} ms: ${JSON.stringify(Object.fromEntries(last))}`))
  const limit = setTimeout(giveUp, PATIENCE_MS)
  // How long it will take is foretold anew without anything having moved.
  const update = (name: string, { step, fraction }: BenchmarkProgress) => {
    const now = `${step} ${fraction}`
    if (last.get(name) !== now) limit.refresh()
    last.set(name, now)
  }
  const stop = () => clearTimeout(limit)
  return runBenchmark(client, request, { update, stop }, stuck.signal).finally(stop)
}
