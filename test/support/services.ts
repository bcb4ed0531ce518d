/** The benchmark service and the planner in the test's own process, each on a free port. */
import { createBenchmarkService } from '../../services/benchmark/app.ts'
import { createPlannerService } from '../../services/planner/app.ts'
import { type BenchmarkClient, createBenchmarkClient } from '../../shared/client/benchmark.ts'
import { type Listening, listen } from '../../shared/platform/http-server/listen.ts'
import { createLog } from '../../shared/platform/log.ts'
import {
  BENCHMARK_SETTINGS,
  PLANNER_SETTINGS,
  readConfig,
} from '../../shared/platform/service/service-config.ts'
import { until } from './eventually.ts'
import { startedOnce } from './started.ts'

export interface StartedService {
  url: string
  close: () => Promise<void>
}

export interface StartedBenchmark extends StartedService {
  client: BenchmarkClient
}

const log = createLog('test', 'silent')

/** @param env settings by their environment names; the service is ready when this resolves. */
export async function startBenchmark(env: NodeJS.ProcessEnv): Promise<StartedBenchmark> {
  const config = readConfig(BENCHMARK_SETTINGS, env)
  const service = await createBenchmarkService(config, log)
  const listening = await ready(await listen(service.app, 0, '127.0.0.1', '/', config))
  const close = async () => {
    service.endStreams()
    await listening.close()
    await service.close()
  }
  return { url: listening.url, client: createBenchmarkClient(listening.url), close }
}

/** One for all tests of the file or group in which it is called. @param env called when it starts. */
export const withBenchmark = (env: () => NodeJS.ProcessEnv): (() => StartedBenchmark) =>
  startedOnce(
    () => startBenchmark(env()),
    (service) => service.close(),
  )

/** The service is ready when this resolves. */
export interface StartedPlanner extends StartedService {
  endStreams: () => void
}

/** @param env further settings by their environment names. */
export async function startPlanner(
  redisUrl: string,
  env: NodeJS.ProcessEnv = {},
  plannerLog = log,
): Promise<StartedPlanner> {
  const config = readConfig(PLANNER_SETTINGS, { REDIS_URL: redisUrl, ...env })
  const service = createPlannerService(config, plannerLog)
  const listening = await ready(await listen(service.app, 0, '127.0.0.1', '/', config))
  const close = async () => {
    service.endStreams()
    await listening.close()
    await service.close()
  }
  return { url: listening.url, endStreams: service.endStreams, close }
}

async function ready(listening: Listening): Promise<Listening> {
  await until(async () => (await fetch(`${listening.url}/readyz`)).status === 200)
  return listening
}
