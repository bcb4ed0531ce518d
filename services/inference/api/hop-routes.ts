/** Routes by which the planner loads and releases deployments, and by which last hops deliver direct answers. */
import { z } from 'zod'
import { Name, ResourceName, timestamp } from '../../../shared/contracts/common.ts'
import { Deployment } from '../../../shared/contracts/plan.ts'
import { SensibleDeployment } from '../../../shared/contracts/sense.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { OCTETS, reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { JSON_LENGTH_HEADER, readJsonLength } from '../../../shared/oip/binary-message.ts'
import { JsonLengthHeader } from '../../../shared/oip/schemas.ts'
import { LOADING_FAILURES } from './serving-failures.ts'
import { parseInferResponse } from '../../../shared/oip/response-message.ts'
import { type BodyLimits, readBody } from '../messages/body.ts'
import type { Deployments } from '../forwarding/deployment-hops.ts'
import type { ReturnSlots } from '../forwarding/direct-answer.ts'

const ById = z.object({ id: Name })
const BySlot = z.object({ slot: z.string() })

const Wanted = z
  .object({
    wanted: z.boolean(),
    resource: ResourceName.optional().describe('who says that it is not wanted'),
  })
  .meta({ id: 'Wanted' })
const Meant = z.object({
  resource: ResourceName.optional().describe('for which the request is: another one refuses it'),
})
const Loaded = z.object({ id: Name, ready: z.literal(true) }).meta({ id: 'LoadedDeployment' })

/** Receives direct answers (direct-answer.ts). A slot that no longer waits is no error: the answer arrived another way. */
export function returnRoutes(returns: ReturnSlots, limits: BodyLimits, resource: string): Route[] {
  // Otherwise a last hop with a wrong address of the entry would take its answer for delivered.
  const unwanted = { wanted: false, resource }
  return [
    route({
      method: 'get',
      path: '/v1/answers/:slot',
      id: 'isAnswerWanted',
      access: 'machine',
      summary: 'Whether a request of a deployment still waits for its answer',
      params: BySlot,
      answers: { 200: { description: 'Whether it does', schema: Wanted } },
      alone: true,
      handle: ({ params }) => (returns.maxBytesOf(params.slot) === undefined ? unwanted : { wanted: true }),
    }),
    route({
      method: 'post',
      path: '/v1/answers/:slot',
      id: 'deliverAnswer',
      access: 'machine',
      summary: 'The answer to a request of a deployment, from its last hop',
      params: BySlot,
      headers: JsonLengthHeader,
      rawBody: {
        description: 'An inference response; read only where it is waited for',
        content: OCTETS,
        optional: true,
      },
      alone: true,
      fails: ['invalidTensor', 'overloaded'],
      answers: { 200: { description: 'Whether it was waited for', schema: Wanted } },
      handle: async ({ params }, req) => {
        // Also of an answer that nobody waits for, whose body is not read.
        const length = req.headers[JSON_LENGTH_HEADER]
        if (typeof length === 'string') readJsonLength(length)
        const planned = returns.maxBytesOf(params.slot)
        if (planned === undefined) return unwanted
        const body = await readBody(req, { ...limits, maxBytes: Math.max(limits.maxBytes, planned) })
        const response = parseInferResponse(body.json, body.tensors)
        return returns.deliver(params.slot, response) ? { wanted: true } : unwanted
      },
    }),
  ]
}

/** @param here name of this resource. */
export function deploymentRoutes(deployments: Deployments, here: string): Route[] {
  return [
    route({
      method: 'put',
      path: '/v1/deployments/:id',
      id: 'loadDeployment',
      access: 'planner',
      summary: 'Load this resource’s layers of a deployment; answers when they are ready',
      params: ById,
      query: Meant,
      body: SensibleDeployment,
      bodyForms: Deployment,
      answers: { 200: { description: 'Ready', schema: Loaded } },
      fails: LOADING_FAILURES,
      handle: async ({ params, query, body }, req) => {
        refuseMisdirected(query.resource, here, req.headers.host)
        if (body.id !== params.id) {
          throw new ScissionError(
            'badRequest',
            `the address names deployment ${params.id}, the body ${body.id}`,
          )
        }
        await deployments.prepareTold(body)
        return { id: params.id, ready: true }
      },
    }),
    route({
      method: 'delete',
      path: '/v1/deployments/:id',
      id: 'releaseDeployment',
      access: 'planner',
      summary: 'Let go of this resource’s layers of a deployment; requests under way finish',
      params: ById,
      query: Meant.extend({
        createdAt: timestamp.optional().describe('only the deployment that was made then, none made since'),
      }),
      answers: { 204: { description: 'Gone' } },
      fails: ['misdirected'],
      handle: async ({ params, query }, req) => {
        refuseMisdirected(query.resource, here, req.headers.host)
        await deployments.release(params.id, query.createdAt)
        return reply(204)
      },
    }),
  ]
}

/** @param host at which this service was called. @throws ScissionError misdirected if another resource is meant. */
function refuseMisdirected(meant: string | undefined, here: string, host: string | undefined): void {
  if (meant === undefined || meant === here) return
  throw new ScissionError(
    'misdirected',
    `this is ${here}: ${meant} was looked for at ${host ?? 'an address that leads here'}. Set SCISSION_PUBLIC_URL of ${meant} ` +
      'to an address of its own',
    { resource: here },
  )
}
