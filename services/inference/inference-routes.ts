/** Which routes an inference service has, and in which groups its documentation shows them. */
import type { InferenceConfig } from '../../shared/platform/service/service-config.ts'
import { tagged } from '../../shared/platform/http-server/route.ts'
import { repositoryRoutes } from './api/repository-routes.ts'
import { refusedRoutes } from './api/refused-routes.ts'
import { healthRoutes, layerRoutes, modelRoutes, statisticsRoute } from './api/core-routes.ts'
import { isFromMachine } from './api/from-machine.ts'
import { linkRoutes } from './api/probe-routes.ts'
import { deploymentRoutes, returnRoutes } from './api/hop-routes.ts'
import type { Deps } from './app.ts'

export function routesOf(config: InferenceConfig, deps: Deps) {
  const {
    bodies,
    answers,
    targets,
    statistics,
    messages,
    codec,
    catalog,
    models,
    deployments,
    links,
    presence,
    pace,
  } = deps
  const here = { resource: config.resource, instance: presence.instance }
  const protocol = {
    targets,
    statistics,
    messages,
    codec,
    executors: config.executors,
    bodies,
    answers,
    pace,
    travelling: config.travellingHeaders,
    isFromMachine,
    checkReady: () => presence.checkReady(),
    loaded: async () => [
      ...(await models.loaded()).filter(({ state }) => state === 'READY'),
      ...deployments.held().map(({ id }) => ({ name: id, version: '1' })),
    ],
  }
  return [
    ...tagged('Server', 'The service as a server of the protocol', healthRoutes(protocol)),
    ...tagged('Models', 'Models, layer ranges and deployments by name', [
      statisticsRoute(protocol),
      ...modelRoutes(protocol),
    ]),
    ...tagged('Layers', 'Layer ranges of a model, and deployments from a cut on', layerRoutes(protocol)),
    ...tagged(
      'Repository',
      'Loading and unloading, as in the protocol’s extension',
      repositoryRoutes({ catalog, models, deployments, targets: protocol.targets }),
    ),
    ...tagged('Refused', 'Addresses of extensions of the protocol that are not here', refusedRoutes()),
    ...tagged('Hops', 'What the planner and the other hops of a deployment ask', [
      ...deploymentRoutes(deployments, config.resource),
      ...returnRoutes(deps.returns, bodies, config.resource),
    ]),
    ...tagged('Link measurements', 'What other resources ask to measure links', linkRoutes(links, here)),
  ]
}
