/**
 * The benchmark service, put together from its parts: model store and registry, analyses, layer ranges, benchmarks,
 * profiles. A test starts it on port 0 with a Redis and a data folder of its own.
 */
import type { RequestListener } from 'node:http'
import type { BenchmarkConfig } from '../../shared/platform/config.ts'
import { coerceError } from '../../shared/platform/errors.ts'
import { createApp } from '../../shared/platform/http-server/app.ts'
import type { Logger } from '../../shared/platform/log.ts'
import { producerConnection } from '../../shared/platform/redis/queue-options.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { openBenchmarks } from './benchmarks/open.ts'
import { benchmarkRoutes } from './benchmarks/benchmark-routes.ts'
import { refuseWhileMeasured } from './benchmarks/end-benchmark.ts'
import { calibrationRoutes } from './calibrations/calibration-routes.ts'
import { SampleFiles } from './calibrations/samples.ts'
import { Analyses } from './models/analyses.ts'
import { Ingest } from './models/ingest.ts'
import { rangeRoutes } from './models/range-routes.ts'
import { Ranges } from './models/ranges.ts'
import { Registry } from './models/registry.ts'
import { modelRoutes } from './models/model-routes.ts'
import { ModelStore } from './models/model-store.ts'
import { profileRoutes } from './benchmarks/profile-routes.ts'

export interface BenchmarkService {
  app: RequestListener
  /** Ends open event streams, so that the server in front can close. */
  endStreams: () => void
  close: () => Promise<void>
}

export async function createBenchmarkService(
  config: BenchmarkConfig,
  log: Logger,
): Promise<BenchmarkService> {
  const store = new ModelStore(config.dataDir, log)
  await store.open()
  const redis = producerConnection(config.redisUrl, log)
  const state = openState(redis, log)
  const analyses = new Analyses(store, state, {
    timeoutMs: config.analyseTimeoutMs,
    memoryLimitBytes: config.analyseMemoryBytes,
  })
  const registry = new Registry(store, state, log)
  const ranges = new Ranges(store, analyses)
  const ingest = new Ingest({ store, registry, analyses, state, maxModelBytes: config.maxModelBytes })
  const restored = keepRestored(registry, state, log)
  const benchmarks = openBenchmarks(config, state, log)
  const app = createApp({
    name: 'benchmark',
    log,
    routes: [
      ...modelRoutes({
        state,
        registry,
        analyses,
        ranges,
        ingest,
        refuseWhileMeasured: (model) => refuseWhileMeasured(benchmarks.parts.queues, model),
      }),
      ...rangeRoutes({ state, store, ranges }),
      ...benchmarkRoutes(benchmarks.parts, analyses, benchmarks.events),
      ...calibrationRoutes({
        state,
        queues: benchmarks.parts.queues,
        analyses,
        samples: new SampleFiles(config.dataDir),
        heartbeatMs: config.heartbeatMs,
      }),
      ...profileRoutes(state),
    ],
    facts: () => ({ redis: config.redisKind, eventStreams: benchmarks.events.followers }),
    ready: async () => {
      await redis.ping()
      await restored()
    },
  })
  return {
    app,
    endStreams: () => benchmarks.events.endStreams(),
    close: async () => {
      analyses.close()
      await benchmarks.close()
      redis.disconnect()
    },
  }
}

/**
 * Brings the registry back from the store at start and whenever Redis has come back: an emulated one that was
 * restarted has forgotten everything. @returns the state of the latest restoration.
 */
function keepRestored(registry: Registry, state: State, log: Logger): () => Promise<void> {
  let latest: Promise<unknown> = Promise.reject(new Error('Redis has not been reached yet'))
  latest.catch(() => undefined)
  const restore = () => {
    latest = registry.restore()
    latest.catch((error: unknown) =>
      log.warn({ err: coerceError(error) }, 'the model registry could not be restored to Redis'),
    )
  }
  state.redis.on('ready', restore)
  if (state.redis.status === 'ready') restore()
  return async () => {
    await latest
  }
}
