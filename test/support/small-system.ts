/** A benchmark service, a planner and a few machines in this process, on a Redis that a test made. */
import path from 'node:path'
import { workerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { startInference, type TestService } from '../inference/support/service.ts'
import { startBenchmark, type StartedBenchmark, startPlanner, type StartedPlanner } from './services.ts'

export interface SmallSystem {
  /** Redis as somebody else sees it. */
  state: State
  /** A test may put another in its place. */
  benchmark: StartedBenchmark
  planner: StartedPlanner
  /** By name, which is that of their tier. */
  machines: ReadonlyMap<string, TestService>
  stop: () => Promise<void>
}

/** @param folder for their data. @param names of the machines. */
export async function startSmallSystem(
  redisUrl: string,
  folder: string,
  names: readonly string[],
): Promise<SmallSystem> {
  const state = openState(workerConnection(redisUrl))
  const benchmark = await startBenchmark({
    REDIS_URL: redisUrl,
    SCISSION_DATA: path.join(folder, 'benchmark'),
  })
  const planner = await startPlanner(redisUrl)
  const machines = new Map<string, TestService>()
  for (const name of names) {
    const settings = {
      SCISSION_RESOURCE: name,
      SCISSION_TIER: name,
      SCISSION_DATA: path.join(folder, name),
      SCISSION_BENCHMARK_URL: benchmark.url,
      SCISSION_HEARTBEAT_MS: '300',
    }
    machines.set(name, await startInference(redisUrl, settings))
  }
  const stop = async () => {
    await Promise.all([...machines.values()].map((machine) => machine.stop()))
    await planner.close()
    await system.benchmark.close()
    state.redis.disconnect()
  }
  const system: SmallSystem = { state, benchmark, planner, machines, stop }
  return system
}
