/**
 * Assembles the benchmark service: model store and registry, analyses, layer ranges, benchmarks, calibrations, profiles. A
 * test starts it on port 0 with a Redis and a data folder of its own.
 */
import type { BenchmarkConfig } from '../../shared/platform/service/service-config.ts'
import { coerceError } from '../../shared/platform/errors.ts'
import { createApp } from '../../shared/platform/http-server/app.ts'
import { hasOpenDimensions } from '../../shared/onnx/index.ts'
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
  const restored = keepRestored(registry, state, log)
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
        samples,
        uploads,
        ranges,
        refuseWhileMeasured: (model) => refuseWhileMeasured(benchmarks.deps.queues, model),
      }),
      ...rangeRoutes({ state, store, ranges }),
      ...modelSampleRoutes({ state, store, registry, analyses, samples, uploads }),
      ...benchmarkRoutes(
        benchmarks.deps,
        { structure: structureToMeasure(analyses, log) },
        benchmarks.events,
      ),
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
 * The structure that a benchmark measures. Before that, the model's open structure is made, so that what is planned for
 * these shapes can be deployed for a range of them.
 */
function structureToMeasure(analyses: Analyses, log: Logger): Analyses['structure'] {
  return async (model, shapes) => {
    const structure = await analyses.structure(model, shapes)
    if (hasOpenDimensions(model.inputs))
      await analyses.open(model, structure.inputShapes).catch((error: unknown) => {
        const what = `model ${model.name} has no structure with open dimensions, so its deployments take one shape each`
        log.warn({ err: coerceError(error) }, what)
      })
    return structure
  }
}

/**
 * Restores the registry from the store at the start and after every reconnection: an emulated Redis loses everything in a
 * restart. @returns a function that awaits the latest restoration.
 */
function keepRestored(registry: Registry, state: State, log: Logger): () => Promise<unknown> {
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
  return () => latest
}
