/** The planner service, put together from its parts: a test starts it on port 0 with a Redis of its own. */
import type { Express } from 'express'
import type { PlannerConfig } from '../../shared/config.ts'
import { createApp } from '../../shared/http/app.ts'
import type { Logger } from '../../shared/log.ts'
import { openState } from '../../shared/state.ts'
import { producerConnection } from '../../shared/redis/queue-options.ts'
import { Deployer } from './deployments.ts'
import { deploymentRoutes, linkRoutes, planRoutes, resourceRoutes } from './routes.ts'
import { View } from './view.ts'

export interface PlannerService {
  app: Express
  close: () => Promise<void>
}

export function createPlannerService(config: PlannerConfig, log: Logger): PlannerService {
  const redis = producerConnection(config.redisUrl, log)
  const state = openState(redis)
  const view = new View(state, log)
  const parts = { state, view, heartbeatMs: config.heartbeatMs, now: Date.now }
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
      await deployer.settle()
      redis.disconnect()
    },
  }
}
