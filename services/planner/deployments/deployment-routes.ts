/** HTTP routes of deployments, which are plans that are live. */
import { z } from 'zod'
import { Name, PageQuery, pageOf } from '../../../shared/contracts/common.ts'
import { ConditionEvent } from '../../../shared/contracts/condition.ts'
import { Deployment, DeploymentRequest } from '../../../shared/contracts/plan.ts'
import { identityOf } from '../../../shared/platform/access/guard.ts'
import { type Answer, reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import {
  ABOUT_EVENTS,
  EVENT_HEADERS,
  NO_MORE_EVENTS,
} from '../../../shared/platform/http-server/server-sent-events.ts'
import { paginate } from '../../../shared/platform/redis/state.ts'
import { DeploymentView } from '../../../shared/contracts/stand-in.ts'
import { viewOf, viewsOf } from './deployment-view.ts'
import type { Deployer } from './deployer.ts'
import type { DeploymentEvents } from './deployment-events.ts'
import type { PlannerDeps } from '../queries/answer-plans.ts'

const ById = z.object({ id: Name })
const DeploymentPage = pageOf(DeploymentView).meta({ id: 'DeploymentPage' })

const ON_RECORD: Answer = {
  description: 'On record, loading',
  schema: Deployment,
  headers: { Location: 'Path of the deployment' },
}
const EVENTS = {
  loading: DeploymentView,
  ready: DeploymentView,
  degraded: DeploymentView,
  failed: DeploymentView,
  deleted: ById,
  condition: ConditionEvent,
}
/** Beside what all streams of states say. */
const ABOUT_CONDITIONS =
  ' A `condition` is told beside the states, without an id: each that holds for the deployment or a machine of it, then each ' +
  'that begins or ends.'

export function deploymentRoutes(deps: PlannerDeps, deployer: Deployer, events: DeploymentEvents): Route[] {
  const deployments = deps.state.deployments
  return [
    route({
      method: 'post',
      path: '/v1/deployments',
      id: 'deployPlan',
      access: 'operate',
      summary: 'Make a plan live; poll the Location until its state is ready',
      body: DeploymentRequest,
      answers: { 202: ON_RECORD },
      fails: ['notFound', 'conflict', 'notMeasured', 'notReady', 'tooManyRequests', 'overloaded'],
      handle: async ({ body }, req) => {
        const deployment = await deployer.deploy(body, identityOf(req))
        return reply(202, deployment, { Location: `/v1/deployments/${encodeURIComponent(deployment.id)}` })
      },
    }),
    route({
      method: 'get',
      path: '/v1/deployments',
      id: 'listDeployments',
      access: 'read',
      summary: 'Deployments',
      query: PageQuery,
      answers: { 200: { description: 'A page of deployments', schema: DeploymentPage } },
      handle: async ({ query }) => {
        const all = await viewsOf(deps, await deployments.all())
        return paginate(all, (deployment) => deployment.id, query)
      },
    }),
    route({
      method: 'get',
      path: '/v1/deployments/:id',
      id: 'readDeployment',
      access: 'read',
      summary: 'One deployment',
      params: ById,
      answers: { 200: { description: 'The deployment', schema: DeploymentView } },
      handle: async ({ params }) => await viewOf(deps, await deployments.need(params.id)),
    }),
    route({
      method: 'get',
      path: '/v1/deployments/:id/events',
      id: 'followDeployment',
      access: 'read',
      fails: ['tooManyRequests'],
      summary: 'Its states as server-sent events, until it is deleted',
      description: ABOUT_EVENTS + ABOUT_CONDITIONS,
      params: ById,
      headers: EVENT_HEADERS,
      answers: {
        200: { description: 'Its state now, and every state that it gets', events: EVENTS },
        204: NO_MORE_EVENTS,
      },
      handle: ({ params }, req, res) => events.answer(params.id, req, res),
    }),
    removeRoute(deployer),
  ]
}

function removeRoute(deployer: Deployer): Route {
  return route({
    method: 'delete',
    path: '/v1/deployments/:id',
    id: 'removeDeployment',
    access: 'operate',
    summary: 'Take it out of service',
    params: ById,
    answers: { 204: { description: 'Gone' } },
    fails: ['conflict', 'overloaded'],
    handle: async ({ params }) => {
      await deployer.remove(params.id)
      return reply(204)
    },
  })
}
