/** Assembles the planner service from its parts. A test starts it on port 0 with a Redis of its own. */
import type { Holdings } from '../../shared/platform/access/holdings.ts'
import type { Tls } from '../../shared/platform/access/tls.ts'
import { joinSystem } from '../../shared/platform/service/join-system.ts'
import { setTimeout as sleep } from 'node:timers/promises'
import { coerceError } from '../../shared/platform/errors.ts'
import type { PlannerConfig } from '../../shared/platform/service/service-config.ts'
import { type App, createApp } from '../../shared/platform/http-server/app.ts'
import type { RequestLog } from '../../shared/platform/http-server/request-log.ts'
import { ClientStreams } from '../../shared/platform/http-server/client-streams.ts'
import type { Revisions } from '../../shared/platform/http-server/revisions.ts'
import { tagged } from '../../shared/platform/http-server/route.ts'
import type { Logger } from '../../shared/platform/log.ts'
import { resourceUrls } from '../../shared/platform/redis/resource-urls.ts'
import { readRevision } from '../../shared/platform/redis/revision.ts'
import { checkWritable } from '../../shared/platform/redis/writable.ts'
import type { State } from '../../shared/platform/redis/state.ts'
import { watchConditions } from './conditions/watch-conditions.ts'
import { Deployer } from './deployments/deployer.ts'
import { DeploymentEvents } from './deployments/deployment-events.ts'
import { deploymentRoutes } from './deployments/deployment-routes.ts'
import { ProblemBuilder } from './queries/problem-builder.ts'
import { keyRoutes } from './keys/key-routes.ts'
import { Keys } from './keys/keys.ts'
import { linkRoutes, resourceRoutes } from './links/link-routes.ts'
import { planRoutes } from './queries/plan-routes.ts'
import { createPlanCache, type PlannerDeps } from './queries/answer-plans.ts'
import { SolverThread } from './queries/solver.ts'
import { RedisMirror } from './knowledge/redis-mirror.ts'
import { restoreFrom } from './knowledge/restore.ts'

const RESUME_PAUSE_MS = 1000
/** By then all machines have noticed that Redis has lost its memory. */
const RESTORED_MS = 10_000

export interface PlannerService {
  app: App
  /** For its listening sockets. */
  tls: Tls | undefined
  /** Ends open event streams, so that the HTTP server can close. */
  endStreams: () => void
  close: () => Promise<void>
}

/** @param requests absent = nothing is logged of requests. */
export function createPlannerService(
  config: PlannerConfig,
  log: Logger,
  requests?: RequestLog,
): PlannerService {
  const joined = joinSystem(config, 'planner', log, { requests })
  const { access, redis, state, holdings } = joined
  const mirror = new RedisMirror(state, log)
  let resumeLater: NodeJS.Timeout | undefined
  state.memory.watch({
    everyMs: config.heartbeatMs,
    restore: () => restoreFrom(mirror, state, config.heartbeatMs),
    onKnown: async () => {
      if (!state.memory.lost) return
      mirror.readAgain()
      // Those that were being loaded are on record again once a machine that holds them has written them back.
      resumeLater = setTimeout(() => void resumeWhenReady(mirror, deployer, closing.signal, log), RESTORED_MS)
    },
  })
  const clock = {
    mirror,
    heartbeatMs: config.heartbeatMs,
    now: () => state.clock.now(),
    checkWritable: () => checkWritable(redis),
  }
  const builder = new ProblemBuilder(clock)
  const answers = createPlanCache({ mirror, builder })
  const { credentials } = access
  const deps = { ...clock, state, builder, answers, solver: new SolverThread(), credentials }
  const deployer = new Deployer({ ...deps, ...config, holdings, log })
  const clientStreams = new ClientStreams(config.maxClientStreams)
  const conditions = watchConditions({ ...clock, state, clientStreams, log })
  const { feed } = conditions
  const events = new DeploymentEvents({ view: deps, changes: mirror.changes, feed, clientStreams, log })
  const closing = new AbortController()
  void resumeWhenReady(mirror, deployer, closing.signal, log)
  const app = createApp({
    name: 'planner',
    description:
      'Finds the best split of a measured model over the resources, for any conditions and constraints, and makes it live.',
    begin: ['listResources', 'findPlans', 'deployPlan', 'readDeployment'],
    neighbours: async () => ({ benchmark: config.benchmarkUrl, ...(await resourceUrls(state)) }),
    log,
    ...joined.front,
    metrics: conditions.metrics,
    routes: routesOf({ deps, deployer, events, conditions, keys: new Keys(state, access), holdings }),
    facts: () => ({
      redis: config.redisKind,
      resources: mirror.resources.size,
      profiles: mirror.profiles.size,
      redisLost: state.memory.lost,
    }),
    ready: async () => {
      await checkWritable(redis)
      await mirror.ready()
    },
    revisions: revisionsOf(mirror, state),
  })
  return {
    app,
    tls: access.tls,
    endStreams: () => {
      events.endStreams()
      conditions.endStreams()
    },
    close: async () => {
      closing.abort()
      conditions.close()
      clearTimeout(resumeLater)
      state.memory.close()
      mirror.close()
      await deps.solver.close()
      await deployer.close()
      joined.leave()
    },
  }
}

const revisionsOf = (mirror: RedisMirror, { redis }: State): Revisions => ({
  reach: (asked) => mirror.gate.reach(asked),
  settle: () => mirror.settled(),
  newest: () => readRevision(redis),
  ofCopy: () => mirror.gate.revision,
})

interface Parts {
  deps: PlannerDeps
  deployer: Deployer
  events: DeploymentEvents
  conditions: ReturnType<typeof watchConditions>
  keys: Keys
  holdings: Holdings
}

function routesOf({ deps, deployer, events, conditions, keys, holdings }: Parts) {
  return [
    ...tagged('Plans', 'The best splits of a model, and where one gives way to another', planRoutes(deps)),
    ...tagged('Resources', 'The machines', resourceRoutes(deps)),
    ...tagged('Links', 'The network between resources', linkRoutes(deps)),
    ...tagged('Deployments', 'Plans that are live', deploymentRoutes(deps, deployer, events)),
    ...tagged('Keys', 'Who may call the services', keyRoutes(keys, holdings)),
    ...tagged('Conditions', 'What is wrong for a while', conditions.routes),
  ]
}

/** Redis may come up after this service, or go while the deployments are read: it is tried until it works. Warns once. */
async function resumeWhenReady(
  mirror: RedisMirror,
  deployer: Deployer,
  closing: AbortSignal,
  log: Logger,
): Promise<void> {
  let warned = false
  while (!closing.aborted) {
    try {
      await mirror.ready()
      if (!closing.aborted) await deployer.resume()
      return
    } catch (thrown) {
      if (closing.aborted) return
      const err = coerceError(thrown)
      if (warned) log.debug({ err }, 'deployments left loading are still not taken up')
      else log.warn({ err }, 'deployments left loading are not taken up yet; trying again')
      warned = true
      // Cut short, by an error, when the service closes.
      await sleep(RESUME_PAUSE_MS, undefined, { signal: closing }).catch(() => undefined)
    }
  }
}
