/**
 * Assembles the inference service: protocol, executor, deployments, links, benchmarks. A test starts it on port 0 with a
 * Redis of its own, and may replace the parts that use ONNX Runtime.
 *
 * Registration, links, benchmarks and the first look-up of a model or deployment need Redis. Loaded models are served
 * without it. Therefore /readyz becomes true with the first registration and stays true; while Redis is lost, its `warnings` and
 * /healthz say so.
 */
import path from 'node:path'
import type { Tls } from '../../shared/platform/access/tls.ts'
import { REFERENCE_NETWORK } from '../../shared/contracts/pace-network.ts'
import type { Credentials } from '../../shared/platform/credentials.ts'
import { joinSystem } from '../../shared/platform/service/join-system.ts'
import { type BenchmarkClient, createBenchmarkClient } from '../../shared/client/benchmark.ts'
import type { InferenceConfig } from '../../shared/platform/service/service-config.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { type App, createApp } from '../../shared/platform/http-server/app.ts'
import { withoutCopy } from '../../shared/platform/http-server/revisions.ts'
import type { RequestLog } from '../../shared/platform/http-server/request-log.ts'
import type { Logger } from '../../shared/platform/log.ts'
import { resourceUrls } from '../../shared/platform/redis/resource-urls.ts'
import type { Restored } from '../../shared/platform/redis/redis-memory.ts'
import { readRevision } from '../../shared/platform/redis/revision.ts'
import { RevisionGate } from '../../shared/platform/redis/revision-gate.ts'
import type { State } from '../../shared/platform/redis/state.ts'
import { ServedTimes } from './jobs/served-times.ts'
import { measureOwnCost } from './links/own-cost.ts'
import { PaceSampler, type PaceSamplerDeps } from './pace/pace-sampler.ts'
import { batchSizes } from './serving/batching/batchable.ts'
import { Batching } from './serving/batching/batching.ts'
import { Deployments } from './forwarding/deployment-hops.ts'
import { OnRecord } from './forwarding/on-record.ts'
import { longestPossibleMessage } from './forwarding/message-limit.ts'
import { Delivered, ReturnSlots } from './forwarding/direct-answer.ts'
import { createNoticing } from './forwarding/noticing.ts'
import { BoundaryCodec } from './forwarding/boundary-codec.ts'
import { createEngine, type Engine, runtimeOptions } from './serving/engine.ts'
import { AnswerMemory } from './messages/answer-memory.ts'
import { BodyMemoryBudget } from './messages/buffer-memory.ts'
import { Caller } from './http/call.ts'
import { Messages } from './messages/message-codec.ts'
import { Links } from './links/links.ts'
import { ShapeGuard } from './serving/executor/shape-guard.ts'
import { refuseWithoutMemory, runTrial } from './serving/executor/trial-load.ts'
import { Catalog } from './serving/models/catalog.ts'
import { LoadedModels } from './serving/models/loaded-models.ts'
import { ModelBatches } from './serving/models/model-batches.ts'
import { ModelTargets } from './serving/models/model-targets.ts'
import { type RequestStructureDeps, RequestStructures } from './serving/models/request-structures.ts'
import { Stages } from './serving/models/stages.ts'
import { followChanges } from './registration/follow-changes.ts'
import { Peers } from './registration/peers.ts'
import { Presence } from './registration/presence.ts'
import { routesOf } from './inference-routes.ts'
import { createMetrics } from './api/metrics.ts'
import { Statistics } from './api/request-statistics.ts'
import { targetsOf } from './forwarding/deployment-target.ts'

export interface InferenceService {
  app: App
  /** For its listening sockets. */
  tls: Tls | undefined
  /**
   * Registers, processes the benchmark queue, measures links.
   * @param url at which clients and peers reach this service. @param internalUrl at which peers do, if it is another one.
   * @returns resolves when it is registered. @throws ScissionError conflict if another service has the name.
   */
  start: (url: string, internalUrl?: string) => Promise<void>
  /** Unregisters and accepts no more jobs; running requests continue. */
  leave: () => Promise<void>
  close: () => Promise<void>
  /** After `close`: whether a thread does not end, because a run in it goes on that nobody waits for. */
  hung: () => boolean
}

/** @throws ScissionError badRequest if the tier is not one of the tiers. */
export function createInferenceService(
  config: InferenceConfig,
  log: Logger,
  givenEngine?: Engine,
  requests?: RequestLog,
): InferenceService {
  const tierIndex = indexOfTier(config)
  const joined = joinSystem(config, config.resource, log, {
    requests,
    urls: [config.publicUrl, config.internalUrl],
  })
  const { access, redis, state } = joined
  const engine = givenEngine ?? createEngine(config, log, { credentials: access.credentials })
  const deps = createDeps(config, tierIndex, { state, engine, credentials: access.credentials }, log)
  const { catalog, peers, models, deployments, links, presence } = deps
  const gate = new RevisionGate(() => readRevision(redis))
  const followers = [catalog, peers, models, deployments, links, deps.served]
  const changes = followChanges(redis, log, followers, gate)
  state.memory.watch({
    everyMs: config.heartbeatMs,
    restore: () => restoreFrom(deps),
  })
  const app = createApp({
    name: 'inference',
    description:
      'Runs models, layer ranges and deployments on this machine. `/v2` is the Open Inference Protocol, with binary ' +
      'tensors; the paths under `/v1` are what the services ask of each other.',
    begin: ['readServerMetadata', 'readRepositoryIndex', 'readModelMetadata', 'infer'],
    neighbours: async () => ({
      benchmark: config.benchmarkUrl,
      planner: config.plannerUrl,
      ...(await resourceUrls(state)),
    }),
    log,
    ...joined.front,
    open: () => ({ resource: config.resource, instance: presence.instance }),
    routes: routesOf(config, deps),
    metrics: createMetrics({
      statistics: deps.statistics,
      executor: () => engine.executor.stats(),
      incomplete: engine.incompleteRanges,
      standIns: () => deps.standIns.stats(deployments.held().map(({ id }) => id)),
      conditions: deps.conditions,
    }),
    facts: () => ({
      tier: config.tier,
      redis: config.redisKind,
      redisConnected: presence.connected,
      redisRefusal: presence.redisRefusal,
      emulated: config.slowdown > 1,
      slowdown: config.slowdown,
      deployments: deployments.held().map(({ id }) => id),
      openBreakers: deps.breakers.open(),
      redisLost: state.memory.lost,
    }),
    ready: async () => presence.checkReady(),
    readyWarning: () => presence.redisWarning,
    revisions: { ...withoutCopy(() => readRevision(redis)), reach: (asked) => gate.reach(asked) },
  })
  return {
    app,
    tls: access.tls,
    start: async (url, internalUrl) => {
      await presence.start({ url, internalUrl })
      deps.pace.start()
    },
    leave: () => {
      engine.executor.leave()
      return presence.leave()
    },
    close: async () => {
      await presence.leave()
      state.memory.close()
      changes.close()
      await closeParts(deps, engine)
      joined.leave()
    },
    hung: () => engine.executor.hung,
  }
}

function indexOfTier({ tier, tiers }: InferenceConfig): number {
  const index = tiers.indexOf(tier)
  if (index >= 0) return index
  throw new ScissionError(
    'badRequest',
    `SCISSION_TIER=${tier} is not one of SCISSION_TIERS=${tiers.join(',')}`,
  )
}

export type Deps = ReturnType<typeof createDeps>

async function closeParts(deps: Deps, engine: Engine): Promise<void> {
  await deps.pace.close()
  deps.wrongMachines.close()
  await deps.deployments.close()
  await deps.conditions.close()
  await deps.stages.close()
  await engine.executor.close()
  deps.caller.close()
  await deps.messages.close()
  await deps.codec.close()
}

/** Writes back what this machine knows. */
async function restoreFrom({ presence, links, deployments, conditions }: Deps): Promise<Restored> {
  presence.registerAgain()
  const restored = {
    links: await links.restore(),
    deployments: await deployments.restore(),
    conditions: await conditions.restore(),
  }
  return { restored, notRestored: [] }
}

interface Base {
  state: State
  engine: Engine
  credentials: Credentials
}

function createDeps(
  config: InferenceConfig,
  tierIndex: number,
  { state, engine, credentials }: Base,
  log: Logger,
) {
  const { resource, hopTimeoutMs, maxBodyBytes } = config
  const here = { resource, emulated: config.slowdown > 1 }
  const isOwner = () => presence.isOwner
  const pace = paceOf(config, engine, { state, isOwner, log })
  const onPace = pace.served.bind(pace)
  const options = runtimeOptions(config)
  const served = new ServedTimes({ resource, options, onPace, state, isOwner, log })
  const onRun = served.ran.bind(served)
  const caller = new Caller(credentials)
  const messages = new Messages()
  const statistics = new Statistics()
  const catalog = new Catalog(state)
  const benchmark = createBenchmarkClient(config.benchmarkUrl, undefined, credentials)
  const runner = runnerOf(config, engine, { catalog, benchmark }, log)
  const stageDeps = { ...runner, guard: guardOf(config), log, onRun }
  // Each thread and each batch size may hold the weights of a stage once more.
  const stageBytes = config.stageBytes / (config.executors * (1 + batchSizes(config.maxBatch).length))
  const stages = new Stages(stageDeps, stageBytes)
  const analyseOpen: RequestStructureDeps['analyseOpen'] = ({ id }, tried) =>
    benchmark.openStructure(id, tried)
  const structures = new RequestStructures({ catalog, analyseOpen })
  const { models, modelTargets } = modelsOf(config, { here, catalog, structures, stages, log })
  const peers = new Peers(state, config.routes, config.heartbeatMs, credentials)
  const { memory, bodies, answers } = messageLimitsOf(config)
  const codec = new BoundaryCodec({ slowdown: config.slowdown, maxBytes: maxBodyBytes, memory })
  const isHeld = (id: string) => deployments.stateOf(id) !== undefined
  const noticing = createNoticing({ state, by: resource, isOwner, peers, log }, isHeld)
  const onRecord = new OnRecord({ state, catalog, peers, log })
  const deployments = new Deployments({
    resource,
    stageDeps,
    state,
    onRecord,
    weightBytes: (range) => catalog.weightBytes(range),
    besideBytes: stageBytes,
    warmCodecs: () => codec.warm(),
    onRelease: noticing.forget,
  })
  const links = new Links({ ...config, ...noticing, tierIndex, state, peers, log })
  const observe = links.observe.bind(links)
  const forwarding = { caller, hopTimeoutMs, maxBytes: maxBodyBytes, observe, doubt: noticing.doubt }
  const deploymentDeps = {
    here,
    catalog,
    deployments,
    ...noticing,
    peers,
    links,
    pace,
    returns: new ReturnSlots(),
    delivered: new Delivered(),
    longestPossible: longestPossibleMessage(config),
    forwarding,
    codec,
    log,
  }
  const targets = targetsOf(deploymentDeps, modelTargets)
  const about = { config, credentials, tierIndex, state, engine, requestsServed: () => statistics.served }
  const presence = new Presence({ ...deploymentDeps, ...about })
  return {
    ...deploymentDeps,
    bodies,
    answers,
    caller,
    messages,
    statistics,
    stages,
    models,
    targets,
    presence,
    served,
  }
}

function messageLimitsOf(config: InferenceConfig) {
  const { maxBodyBytes: maxBytes, transferWindowMs: idleMs } = config
  const memory = new BodyMemoryBudget(config.bodyMemoryBytes)
  const bodies = { maxBytes, setting: 'SCISSION_MAX_BODY_BYTES', idleMs, memory }
  return { memory, bodies, answers: new AnswerMemory(config.answerMemoryBytes) }
}

interface ModelParts {
  here: { resource: string; emulated: boolean }
  catalog: Catalog
  structures: RequestStructures
  stages: Stages
  log: Logger
}

function modelsOf(config: InferenceConfig, { here, catalog, structures, stages, log }: ModelParts) {
  const batches = new ModelBatches(stages, config.maxBatch)
  const models = new LoadedModels({ catalog, structures, stages, batches, log })
  const found = { catalog, structures, batches }
  return { models, modelTargets: new ModelTargets({ here, ...found, loaded: models, batching: config }) }
}

type PaceDeps = Pick<PaceSamplerDeps, 'isOwner' | 'log'> & { state: State }

function paceOf(config: InferenceConfig, { executor }: Engine, deps: PaceDeps): PaceSampler {
  const { resource: name, slowdown, threads } = config
  const file = path.join(config.dataDir, name, `${REFERENCE_NETWORK}.onnx`)
  const busy = () => {
    const { threads, processes } = executor.stats()
    return [...threads, ...processes].some(({ running, queued }) => running || queued > 0)
  }
  const ownCallMs = async () => (await measureOwnCost()).message.ms
  return new PaceSampler({ name, slowdown, threads, file, busy, ownCallMs, ...deps })
}

function guardOf({ trialTimeoutMs: timeoutMs, trialMemoryBytes: memoryBytes }: InferenceConfig): ShapeGuard {
  return new ShapeGuard({
    memoryBytes,
    tryOnce: async ({ path, manifest, options }, inputs) => {
      if (path === null) return
      const request = { path, manifest: { ...manifest, inputs }, options, timeoutMs, memoryBytes }
      refuseWithoutMemory(await runTrial(request))
    },
  })
}

/** Loads and runs stages: the engine itself, or batching in front of it. */
function runnerOf(
  config: InferenceConfig,
  engine: Engine,
  { catalog, benchmark }: { catalog: Catalog; benchmark: BenchmarkClient },
  log: Logger,
) {
  const { executor, loader } = engine
  if (config.maxBatch === 1) return { executor, loader }
  const batching = new Batching({
    executor,
    loader,
    log,
    settings: config,
    model: async ({ manifest }) => ({
      model: await catalog.model(manifest.model),
      structure: await catalog.structure(manifest.model, manifest.shapesKey),
    }),
    analyse: ({ id }, shapes) => benchmark.structure(id, shapes),
  })
  return { executor: batching, loader: batching, batches: batching }
}
