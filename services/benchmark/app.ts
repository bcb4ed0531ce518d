/**
 * Assembles the benchmark service: model store and registry, analyses, layer ranges, benchmarks, calibrations, profiles. A
 * test starts it on port 0 with a Redis and a data folder of its own.
 */
import type { Model } from '../../shared/contracts/model.ts'
import type { BenchmarkConfig } from '../../shared/platform/service/service-config.ts'
import { coerceError } from '../../shared/platform/errors.ts'
import { createApp } from '../../shared/platform/http-server/app.ts'
import { KeyedLock } from '../../shared/platform/keyed-lock.ts'
import type { Logger } from '../../shared/platform/log.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { openState, type State } from '../../shared/platform/redis/state.ts'
import { openBenchmarks } from './benchmarks/open-benchmarks.ts'
import { benchmarkRoutes } from './benchmarks/benchmark-routes.ts'
import { refuseWhileMeasured } from './benchmarks/end-benchmark.ts'
import { calibrationRoutes } from './calibrations/calibration-routes.ts'
import { SampleFiles } from './calibrations/sample-files.ts'
import { Analyses } from './models/analyses.ts'
import { rangeRoutes } from './models/range-routes.ts'
import { Ranges } from './models/model-ranges.ts'
import { Registry } from './models/registry.ts'
import { modelRoutes } from './models/model-routes.ts'
import { ModelStore } from './models/model-store.ts'
import { SampleReader } from './samples/sample-reader.ts'
import { modelSampleRoutes } from './models/sample-routes.ts'
import { profileRoutes } from './benchmarks/profile-routes.ts'

export async function createBenchmarkService(config: BenchmarkConfig, log: Logger) {
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
  const samples = new SampleReader(config.maxSampleBytes)
  const uploads = new KeyedLock()
  const restored = keepRestored(registry, analyses, state, log)
  const benchmarks = openBenchmarks(config, state, log)
  const app = createApp({
    name: 'benchmark',
    log,
    routes: [
      ...modelRoutes({
        store,
        registry,
        analyses,
        state,
        maxModelBytes: config.maxModelBytes,
        maxModelFiles: config.maxModelFiles,
        structureLimits: { maxBytes: config.maxStructureBytes, maxParts: config.maxStructureParts },
        samples,
        uploads,
        ranges,
        refuseWhileMeasured: (model) => refuseWhileMeasured(benchmarks.deps.queues, model),
      }),
      ...rangeRoutes({ state, store, ranges }),
      ...modelSampleRoutes({ state, store, registry, analyses, samples, uploads }),
      ...benchmarkRoutes(benchmarks.deps, analyses, benchmarks.events),
      ...calibrationRoutes({
        state,
        queues: benchmarks.deps.queues,
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
    /** Ends open event streams, so that the HTTP server can close. */
    endStreams: () => benchmarks.events.endStreams(),
    close: async () => {
      analyses.close()
      await samples.close()
      await benchmarks.close()
      redis.disconnect()
    },
  }
}

/**
 * Restores the registry from the store at the start and after every reconnection: an emulated Redis loses everything in a
 * restart. @returns a function that awaits the latest restoration.
 */
function keepRestored(
  registry: Registry,
  analyses: Analyses,
  state: State,
  log: Logger,
): () => Promise<unknown> {
  let latest: Promise<unknown> = Promise.reject(new Error('Redis has not been reached yet'))
  latest.catch(() => undefined)
  const restore = () => {
    latest = registry.restore().then((outdated) => void analyseAgain(outdated, analyses, log))
    latest.catch((error: unknown) =>
      log.warn({ err: coerceError(error) }, 'the model registry could not be restored to Redis'),
    )
  }
  state.redis.on('ready', restore)
  if (state.redis.status === 'ready') restore()
  return () => latest
}

/** In the background: whoever needs one of these structures before that has it made first. */
async function analyseAgain(outdated: readonly Model[], analyses: Analyses, log: Logger): Promise<void> {
  for (const model of outdated) {
    try {
      await analyses.structure(model)
      log.info(`model ${model.name} was analysed again: another version of Scission had done that`)
    } catch (error) {
      log.warn({ err: coerceError(error) }, `model ${model.name} of another version could not be analysed`)
    }
  }
}
