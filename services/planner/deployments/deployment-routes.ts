/** HTTP routes of deployments, which are plans that are live. */
import { z } from 'zod'
import { Name, PageQuery, pageOf } from '../../../shared/contracts/common.ts'
import { Deployment, DeploymentRequest } from '../../../shared/contracts/plan.ts'
import { reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import {
  ABOUT_EVENTS,
  EVENT_STREAM,
  NO_MORE_EVENTS,
} from '../../../shared/platform/http-server/server-sent-events.ts'
import { paginate } from '../../../shared/platform/redis/state.ts'
import type { Deployer } from './deployer.ts'
import type { DeploymentEvents } from './deployment-events.ts'
import type { PlannerDeps } from '../queries/answer-plans.ts'

const ById = z.object({ id: Name })

export function deploymentRoutes(deps: PlannerDeps, deployer: Deployer, events: DeploymentEvents): Route[] {
  const deployments = deps.state.deployments
  return [
    route({
      method: 'post',
      path: '/v1/deployments',
      summary: 'Make a plan live; poll the Location until its state is ready',
      body: DeploymentRequest,
      answers: { 202: { description: 'On record, loading', schema: Deployment } },
      handle: async ({ body }) => {
        const deployment = await deployer.deploy(body)
        return reply(202, deployment, { Location: `/v1/deployments/${encodeURIComponent(deployment.id)}` })
      },
    }),
    route({
      method: 'get',
      path: '/v1/deployments',
      summary: 'Deployments',
      query: PageQuery,
      answers: { 200: { description: 'A page of deployments', schema: pageOf(Deployment) } },
      handle: async ({ query }) => {
        const all = (await deployments.all()).map((deployment) => withPresentEntry(deps, deployment))
        return paginate(all, (deployment) => deployment.id, query)
      },
    }),
    route({
      method: 'get',
      path: '/v1/deployments/:id',
      summary: 'One deployment',
      params: ById,
      answers: { 200: { description: 'The deployment', schema: Deployment } },
      handle: async ({ params }) => withPresentEntry(deps, await deployments.need(params.id)),
    }),
    route({
      method: 'get',
      path: '/v1/deployments/:id/events',
      summary: 'Its states as server-sent events, until it is deleted',
      description: ABOUT_EVENTS,
      params: ById,
      answers: {
        200: { description: 'event: loading | ready | failed | deleted', contentType: EVENT_STREAM },
        204: NO_MORE_EVENTS,
      },
      handle: ({ params }, req, res) => events.answer(params.id, req, res),
    }),
    route({
      method: 'delete',
      path: '/v1/deployments/:id',
      summary: 'Take it out of service',
      params: ById,
      answers: { 204: { description: 'Gone' } },
      handle: async ({ params }) => {
        await deployer.remove(params.id)
        return reply(204)
      },
    }),
  ]
}

/** The entry's URL as registered now: a restarted resource may listen at another address than the record says. */
function withPresentEntry(deps: PlannerDeps, deployment: Deployment): Deployment {
  const { resource, url } = deployment.entry
  return { ...deployment, entry: { resource, url: deps.mirror.resources.get(resource)?.url ?? url } }
}
