/**
 * Assembles the benchmark service: model store and registry, analyses, layer ranges, benchmarks, calibrations, profiles. A
 * test starts it on port 0 with a Redis and a data folder of its own.
 */
import path from 'node:path'
import type { Model } from '../../shared/contracts/model.ts'
import { readIfThere, writeWhole } from '../../shared/platform/atomic-file.ts'
import type { BenchmarkConfig } from '../../shared/platform/service/service-config.ts'
import { coerceError } from '../../shared/platform/errors.ts'
import { createApp } from '../../shared/platform/http-server/app.ts'
import { OWN_WORK } from '../../shared/platform/http-server/client-of.ts'
import { withoutCopy } from '../../shared/platform/http-server/revisions.ts'
import type { RequestLog } from '../../shared/platform/http-server/request-log.ts'
import { type Route, tagged } from '../../shared/platform/http-server/route.ts'
import { hasOpenDimensions } from '../../shared/onnx/index.ts'
import { KeyedLock } from '../../shared/platform/keyed-lock.ts'
import type { Logger } from '../../shared/platform/log.ts'
import { joinSystem } from '../../shared/platform/service/join-system.ts'
import { resourceUrls } from '../../shared/platform/redis/resource-urls.ts'
import { readRevision } from '../../shared/platform/redis/revision.ts'
import { checkWritable } from '../../shared/platform/redis/writable.ts'
import type { State } from '../../shared/platform/redis/state.ts'
import { openBenchmarks } from './benchmarks/open-benchmarks.ts'
import { watchedParts } from './benchmarks/watched-parts.ts'
import { benchmarkRoutes } from './benchmarks/benchmark-routes.ts'
import { refuseWhileMeasured } from './benchmarks/end-benchmark.ts'
import { calibrationRoutes } from './calibrations/calibration-routes.ts'
import { SampleFiles } from './calibrations/sample-files.ts'
import { watchedCalibrations } from './calibrations/watched-calibrations.ts'
import { JobWatch } from './job-watch.ts'
import { Analyses } from './models/analyses.ts'
import { KeptDocuments } from './models/kept-documents.ts'
import { rangeRoutes } from './models/range-routes.ts'
import { ModelFiles } from './models/model-files.ts'
import { Ranges } from './models/model-ranges.ts'
import { Registry } from './models/registry.ts'
import { modelRoutes } from './models/model-routes.ts'
import { ModelStore } from './models/model-store.ts'
import { WrittenRanges } from './models/written-ranges.ts'
import { SampleReader } from './samples/sample-reader.ts'
import { modelSampleRoutes } from './models/sample-routes.ts'
import { profileRoutes } from './benchmarks/profile-routes.ts'

/** @param requests absent = nothing is logged of requests. */
export async function createBenchmarkService(config: BenchmarkConfig, log: Logger, requests?: RequestLog) {
  const store = new ModelStore(config.dataDir, log)
  await store.open()
  // What was known of the memory with which the files were last compared: what is missing in that memory was deleted.
  const memoryFile = path.join(config.dataDir, 'redis-memory')
  const knownMemory = (await readIfThere(memoryFile)) ?? 'none'
  const joined = joinSystem(config, 'benchmark', log, { requests })
  const { access, redis, state } = joined
  const analyses = new Analyses(store, state, {
    timeoutMs: config.analyseTimeoutMs,
    memoryLimitBytes: config.analyseMemoryBytes,
  })
  const registry = new Registry(store, state, log)
  const modelFiles = new ModelFiles()
  const ranges = new Ranges(store, analyses, modelFiles, new WrittenRanges(store, config.rangeFileBytes, log))
  const samples = new SampleReader(config.maxSampleBytes)
  const noteMemory = (note: string) => writeWhole(memoryFile, note)
  const kept = new KeptDocuments(store, state, log, noteMemory)
  // Models, profiles and calibrations come back when Redis has lost them. Nothing is awaited since the connection was asked
  // for: whoever looks into Redis must find the watch there, or what Redis has lost would be taken for deleted.
  state.memory.watch({
    everyMs: config.heartbeatMs,
    restore: async () => ({
      restored: { models: await registry.restoreMissing(), ...(await kept.restore()) },
      notRestored: NOT_RESTORED,
    }),
    known: knownMemory,
    onKnown: noteMemory,
  })
  const restored = keepRestored(registry, analyses, state, log)
  const benchmarks = openBenchmarks(config, state, log)
  const { queues } = benchmarks.deps
  const jobs = [() => watchedParts(queues), () => watchedCalibrations({ state, queues })]
  const watch = new JobWatch(benchmarks.deps, jobs, log)
  const app = createApp({
    name: 'benchmark',
    description:
      'Takes ONNX models, analyses them into layers and boundaries, gives out layer ranges, and has models measured on ' +
      'the resources.',
    begin: ['uploadModel', 'readLayers', 'startBenchmark', 'followBenchmark'],
    neighbours: async () => ({ planner: config.plannerUrl, ...(await resourceUrls(state)) }),
    log,
    ...joined.front,
    routes: routesOf({
      config,
      log,
      store,
      registry,
      joined,
      analyses,
      modelFiles,
      ranges,
      samples,
      benchmarks,
    }),
    facts: () => ({
      redis: config.redisKind,
      eventStreams: benchmarks.events.followers,
      redisLost: state.memory.lost,
    }),
    ready: async () => {
      await checkWritable(redis)
      await restored()
      await state.memory.look()
    },
    revisions: withoutCopy(() => readRevision(redis)),
  })
  return {
    app,
    /** For its listening sockets. */
    tls: access.tls,
    /** Ends open event streams, so that the HTTP server can close. */
    endStreams: () => benchmarks.events.endStreams(),
    close: async () => {
      analyses.close()
      await samples.close()
      await modelFiles.close()
      watch.close()
      await benchmarks.close()
      state.memory.close()
      await kept.close()
      joined.leave()
    },
  }
}

const NOT_RESTORED = ['benchmarks and calibrations under way, and the list of ended benchmarks']

interface Parts {
  config: BenchmarkConfig
  log: Logger
  store: ModelStore
  registry: Registry
  joined: Pick<ReturnType<typeof joinSystem>, 'state' | 'holdings'>
  analyses: Analyses
  modelFiles: ModelFiles
  ranges: Ranges
  samples: SampleReader
  benchmarks: ReturnType<typeof openBenchmarks>
}

function routesOf(parts: Parts): Route[] {
  const { config, log, store, registry, joined, analyses, modelFiles, ranges, samples, benchmarks } = parts
  const { state, holdings } = joined
  const uploads = new KeyedLock()
  return [
    ...tagged(
      'Models',
      'ONNX files, their layers and boundaries',
      modelRoutes({
        store,
        registry,
        analyses,
        state,
        maxModelBytes: config.maxModelBytes,
        maxModelFiles: config.maxModelFiles,
        structureLimits: { maxBytes: config.maxStructureBytes, maxParts: config.maxStructureParts },
        samples,
        holdings,
        uploads,
        modelFiles,
        refuseWhileMeasured: (model) => refuseWhileMeasured(benchmarks.deps.queues, model),
      }),
    ),
    ...tagged(
      'Layer ranges',
      'Parts of a model, as a resource fetches them',
      rangeRoutes({ state, store, ranges }),
    ),
    ...tagged(
      'Samples',
      'Values for the inputs of a model, with which it is measured and checked',
      modelSampleRoutes({ state, store, registry, analyses, samples, holdings, uploads }),
    ),
    ...tagged(
      'Benchmarks',
      'Measurements under way, and their ends',
      benchmarkRoutes(
        benchmarks.deps,
        { analyses: { structure: structureToMeasure(analyses, log) }, holdings },
        benchmarks.events,
      ),
    ),
    ...tagged(
      'Calibrations',
      'What each codec costs in accuracy and saves in bytes',
      calibrationRoutes({
        state,
        queues: benchmarks.deps.queues,
        analyses,
        samples: new SampleFiles(config.dataDir),
        reader: samples,
        holdings,
        heartbeatMs: config.heartbeatMs,
      }),
    ),
    ...tagged('Profiles', 'Measured costs of models on resources', profileRoutes(state, holdings)),
  ]
}

/**
 * The structure that a benchmark measures. Before that, the model's open structure is made, so that what is planned for
 * these shapes can be deployed for a range of them.
 */
function structureToMeasure(analyses: Analyses, log: Logger): Analyses['structure'] {
  return async (model, asker, shapes) => {
    const structure = await analyses.structure(model, asker, shapes)
    if (hasOpenDimensions(model.inputs))
      await analyses.open(model, asker, structure.inputShapes).catch((error: unknown) => {
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
function keepRestored(
  registry: Registry,
  analyses: Analyses,
  state: State,
  log: Logger,
): () => Promise<unknown> {
  let latest: Promise<unknown> = Promise.reject(new Error('Redis has not been reached yet'))
  latest.catch(() => undefined)
  const restore = () => {
    // A loss is noticed first, and counts what it brings back.
    latest = state.memory
      .look()
      .then(() => registry.restore())
      .then((outdated) => void analyseAgain(outdated, analyses, log))
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
      await analyses.structure(model, OWN_WORK)
      log.info(`model ${model.name} was analysed again: another version of Scission had done that`)
    } catch (error) {
      log.warn({ err: coerceError(error) }, `model ${model.name} of another version could not be analysed`)
    }
  }
}
