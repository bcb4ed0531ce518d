/** The planner's API: plans, links, resources, deployments. */
import { z } from 'zod'
import { mbps, ms, PageQuery, pageOf, ResourceName, Name } from '../../shared/contracts/common.ts'
import { Deployment, DeploymentRequest, PlanAnswer, PlanQuery } from '../../shared/contracts/plan.ts'
import { Link, ResourceView } from '../../shared/contracts/resource.ts'
import { ScissionError } from '../../shared/errors.ts'
import { reply, route, type Route } from '../../shared/http/route.ts'
import { openEventStream } from '../../shared/http/sse.ts'
import { parseInputShapes } from '../../shared/input-shapes.ts'
import { NETWORK_PRESETS } from '../../shared/network-presets.ts'
import { Changes, linkId, paginate } from '../../shared/state.ts'
import { withLiveness } from '../../shared/alive.ts'
import type { Deployer } from './deployments.ts'
import { answerPlans, type PlannerParts } from './plans.ts'

const ById = z.object({ id: Name })
const LinkPath = z.object({ from: ResourceName, to: ResourceName })
const LinkSettings = z.strictObject({ rttMs: ms, bandwidthMbps: mbps, returnBandwidthMbps: mbps.optional() })
/** In a URL, shapes are `name:1x3x224x224`. */
const PlanUrlQuery = PlanQuery.omit({ inputShapes: true }).extend({ shapes: z.string().optional() })

export function planRoutes(parts: PlannerParts): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/plans',
      summary: 'The best plans for a model, with the native baselines beside them',
      query: PlanUrlQuery,
      answers: { 200: { description: 'Plans, best first', schema: PlanAnswer } },
      handle: ({ query }) => {
        const { shapes, ...rest } = query
        return answerPlans(
          parts,
          shapes === undefined ? rest : { ...rest, inputShapes: parseInputShapes(shapes) },
        )
      },
    }),
    route({
      method: 'post',
      path: '/v1/plans',
      summary: 'The same with the query as JSON',
      body: PlanQuery,
      answers: { 200: { description: 'Plans, best first', schema: PlanAnswer } },
      handle: ({ body }) => answerPlans(parts, body),
    }),
  ]
}

export function resourceRoutes(parts: PlannerParts): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/resources',
      summary: 'The machines that registered, and whether they are alive',
      query: PageQuery,
      answers: { 200: { description: 'A page of resources', schema: pageOf(ResourceView) } },
      handle: async ({ query }) => {
        await parts.view.ready()
        const resources = [...parts.view.resources.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
        const views = resources.map((resource) => withLiveness(resource, parts.heartbeatMs, parts.now()))
        return paginate(views, (resource) => resource.name, query)
      },
    }),
  ]
}

export function linkRoutes(parts: PlannerParts): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/links',
      summary: 'Links between resources, as measured or overridden',
      query: PageQuery,
      answers: { 200: { description: 'A page of links', schema: pageOf(Link) } },
      handle: async ({ query }) => {
        const links = await parts.state.links.all()
        return paginate(links, (link) => linkId(link.from, link.to), query)
      },
    }),
    route({
      method: 'get',
      path: '/v1/networks',
      summary: 'The named network presets and where their figures come from',
      answers: { 200: { description: 'Presets by name', schema: z.record(z.string(), z.unknown()) } },
      handle: () => NETWORK_PRESETS,
    }),
    route({
      method: 'put',
      path: '/v1/links/:from/:to',
      summary: 'Override a link; it stays until deleted, whatever is measured',
      params: LinkPath,
      body: LinkSettings,
      answers: { 200: { description: 'The link as it is now planned with', schema: Link } },
      handle: ({ params, body }) => overrideLink(parts, params, body),
    }),
    route({
      method: 'delete',
      path: '/v1/links/:from/:to',
      summary: 'Forget a link; the next measurement sets it again',
      params: LinkPath,
      answers: { 204: { description: 'Forgotten' } },
      handle: async ({ params }) => {
        await parts.state.links.need(linkId(params.from, params.to))
        await parts.state.links.delete(linkId(params.from, params.to))
        return reply(204)
      },
    }),
  ]
}

async function overrideLink(
  parts: PlannerParts,
  { from, to }: z.infer<typeof LinkPath>,
  settings: z.infer<typeof LinkSettings>,
): Promise<Link> {
  await parts.state.resources.need(from)
  await parts.state.resources.need(to)
  if (from === to) throw new ScissionError('badRequest', `a link joins two resources; both are ${from}`)
  const link: Link = {
    from,
    to,
    rttMs: settings.rttMs,
    bandwidthMbps: settings.bandwidthMbps,
    returnBandwidthMbps: settings.returnBandwidthMbps ?? settings.bandwidthMbps,
    source: 'override',
    emulated: false,
    samples: [],
    measuredAt: new Date(parts.now()).toISOString(),
  }
  await parts.state.links.put(linkId(from, to), link)
  return link
}

export function deploymentRoutes(parts: PlannerParts, deployer: Deployer): Route[] {
  const deployments = parts.state.deployments
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
        const all = (await deployments.all()).map((deployment) => withPresentEntry(parts, deployment))
        return paginate(all, (deployment) => deployment.id, query)
      },
    }),
    route({
      method: 'get',
      path: '/v1/deployments/:id',
      summary: 'One deployment',
      params: ById,
      answers: { 200: { description: 'The deployment', schema: Deployment } },
      handle: async ({ params }) => withPresentEntry(parts, await deployments.need(params.id)),
    }),
    route({
      method: 'get',
      path: '/v1/deployments/:id/events',
      summary: 'Its states as server-sent events, until it is deleted',
      params: ById,
      answers: {
        200: { description: 'event: loading | ready | failed | deleted', contentType: 'text/event-stream' },
      },
      handle: async ({ params }, req, res) => {
        const now = await deployments.need(params.id)
        const stream = openEventStream(req, res)
        const changes = new Changes(parts.state.redis)
        stream.closed.addEventListener('abort', () => changes.close())
        stream.send(now.state, now)
        const report = async () => {
          const current = await deployments.get(params.id)
          if (current) stream.send(current.state, current)
          else {
            stream.send('deleted', { id: params.id })
            stream.end()
          }
        }
        changes.on('error', () => stream.end())
        // What happened before the subscription stood, or while it was interrupted.
        changes.on('resync', () => void report().catch(() => stream.end()))
        changes.on('change', (change) => {
          if (change.kind === 'deployments' && change.id === params.id) report().catch(() => stream.end())
        })
      },
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

/** A resource that was started again may listen elsewhere than when the deployment was made. */
function withPresentEntry(parts: PlannerParts, deployment: Deployment): Deployment {
  const { resource, url } = deployment.entry
  return { ...deployment, entry: { resource, url: parts.view.resources.get(resource)?.url ?? url } }
}
