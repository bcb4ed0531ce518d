/** What the planner asks of every resource on a plan's path. */
import { z } from 'zod'
import { Name } from '../../../shared/contracts/common.ts'
import { Deployment } from '../../../shared/contracts/plan.ts'
import { ScissionError } from '../../../shared/errors.ts'
import { reply, route, type Route } from '../../../shared/http/route.ts'
import type { Deployments } from './deployments.ts'

const ById = z.object({ id: Name })

export function deploymentRoutes(deployments: Deployments): Route[] {
  return [
    route({
      method: 'put',
      path: '/v1/deployments/:id',
      summary: 'Load this resource’s layers of a deployment; answers when they are ready',
      params: ById,
      body: Deployment,
      answers: { 200: { description: 'Ready', schema: z.object({ id: Name, ready: z.literal(true) }) } },
      handle: async ({ params, body }) => {
        if (body.id !== params.id) {
          throw new ScissionError(
            'badRequest',
            `the address names deployment ${params.id}, the body ${body.id}`,
          )
        }
        await deployments.prepare(body)
        return { id: params.id, ready: true }
      },
    }),
    route({
      method: 'delete',
      path: '/v1/deployments/:id',
      summary: 'Let go of this resource’s layers of a deployment; requests under way finish',
      params: ById,
      answers: { 204: { description: 'Gone' } },
      handle: async ({ params }) => {
        await deployments.release(params.id)
        return reply(204)
      },
    }),
  ]
}
