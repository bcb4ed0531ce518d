/** The planner service, put together from its parts: a test starts it on port 0 with a Redis of its own. */
import type { RequestListener } from 'node:http'
import type { PlannerConfig } from '../../shared/platform/config.ts'
import { createApp } from '../../shared/platform/http-server/app.ts'
import type { Logger } from '../../shared/platform/log.ts'
import { openState } from '../../shared/platform/redis/state.ts'
import { producerConnection } from '../../shared/platform/redis/queue-options.ts'
import { Deployer } from './deployments/deployments.ts'
import { deploymentRoutes } from './deployments/deployment-routes.ts'
import { Gatherer } from './queries/gather.ts'
import { linkRoutes, resourceRoutes } from './links/link-routes.ts'
import { planRoutes } from './queries/plan-routes.ts'
import { keepPlans } from './queries/plans.ts'
import { SolverThread } from './queries/solver-thread.ts'
import { View } from './knowledge/knowledge.ts'

export interface PlannerService {
  app: RequestListener
  close: () => Promise<void>
}

export function createPlannerService(config: PlannerConfig, log: Logger): PlannerService {
  const redis = producerConnection(config.redisUrl, log)
  const state = openState(redis, log)
  const view = new View(state, log)
  const clock = { view, heartbeatMs: config.heartbeatMs, now: () => Date.now() }
  const gatherer = new Gatherer(clock)
  const answers = keepPlans({ view, gatherer })
  const parts = { ...clock, state, gatherer, answers, solver: new SolverThread() }
  const deployer = new Deployer({ ...parts, log, deployTimeoutMs: config.deployTimeoutMs })
  view.ready().then(
    () => deployer.resume(),
    (error: Error) => log.warn({ err: error }, 'Redis could not be read at start'),
  )
  const app = createApp({
    name: 'planner',
    log,
    routes: [
      ...planRoutes(parts),
      ...resourceRoutes(parts),
      ...linkRoutes(parts),
      ...deploymentRoutes(parts, deployer),
    ],
    facts: () => ({ redis: config.redisKind, resources: view.resources.size, profiles: view.profiles.size }),
    ready: async () => {
      await redis.ping()
      await view.ready()
    },
  })
  return {
    app,
    close: async () => {
      view.close()
      await parts.solver.close()
      await deployer.settle()
      redis.disconnect()
    },
  }
}
