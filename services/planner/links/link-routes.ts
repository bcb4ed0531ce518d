/** HTTP routes of resources, of the links between them and of the network presets. */
import { z } from 'zod'
import { mbps, ms, PageQuery, pageOf, ResourceName } from '../../../shared/contracts/common.ts'
import { withOverride } from '../../../shared/contracts/link-override.ts'
import {
  ForgottenLink,
  Link,
  LinkSettings,
  LinkView,
  type Resource,
  ResourceView,
  withLiveness,
} from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { type Reply, reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { NETWORK_PRESETS } from '../../../shared/contracts/network-presets.ts'
import { linkId, paginate } from '../../../shared/platform/redis/state.ts'
import { yesOrNo } from '../../../shared/contracts/query-values.ts'
import type { PlannerDeps } from '../queries/answer-plans.ts'
import { forgetLink } from './forget-link.ts'

const ResourcePath = z.object({ name: ResourceName })
const LinkPath = z.object({ from: ResourceName, to: ResourceName })
const ResourcePage = pageOf(ResourceView).meta({ id: 'ResourcePage' })
const LinkPage = pageOf(LinkView).meta({ id: 'LinkPage' })
const Networks = z
  .record(
    z.string(),
    z.object({
      rttMs: ms,
      upMbps: mbps,
      downMbps: mbps,
      source: z.string().describe('where the figures come from'),
    }),
  )
  .meta({ id: 'Networks' })

export function resourceRoutes(deps: PlannerDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/resources',
      id: 'listResources',
      access: 'read',
      summary: 'The machines that registered, and whether they are alive',
      query: PageQuery,
      answers: { 200: { description: 'A page of resources', schema: ResourcePage } },
      fromCopy: true,
      handle: async ({ query }) => {
        await deps.mirror.ready()
        const resources = [...deps.mirror.resources.values()].sort((a, b) => (a.name < b.name ? -1 : 1))
        return paginate(resources.map(viewWith(deps)), (resource) => resource.name, query)
      },
    }),
    route({
      method: 'delete',
      path: '/v1/resources/:name',
      id: 'forgetResource',
      access: 'operate',
      summary: 'Forget a resource that is lost or was imported, and its links; its profiles stay',
      params: ResourcePath,
      answers: { 204: { description: 'Forgotten' } },
      fails: ['conflict'],
      handle: ({ params }) => forgetResource(deps, params.name),
    }),
  ]
}

/** A resource as it is now. */
function viewWith({ mirror, heartbeatMs, now }: PlannerDeps): (resource: Resource) => ResourceView {
  return (resource) => {
    const pace = mirror.paces.get(resource.name)
    const silentMs = Math.max(0, Math.round(now() - Date.parse(resource.heartbeatAt)))
    return { ...withLiveness(resource, heartbeatMs, now()), silentMs, ...(pace && { pace }) }
  }
}

/** @throws ScissionError notFound; conflict if it is alive: it would register again with its next heartbeat. */
async function forgetResource({ state, heartbeatMs, now }: PlannerDeps, name: string): Promise<Reply> {
  const resource = withLiveness(await state.resources.need(name), heartbeatMs, now())
  if (resource.alive)
    throw new ScissionError(
      'conflict',
      `resource ${name} is alive at ${resource.url}: stop its service, which takes it out of the registry`,
      { resource: name },
    )
  const links = await state.links.all()
  for (const { from, to } of links)
    if (from === name || to === name) await state.links.delete(linkId(from, to))
  await state.paces.delete(name)
  await state.resources.delete(name)
  return reply(204)
}

export function linkRoutes(deps: PlannerDeps): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/links',
      id: 'listLinks',
      access: 'read',
      summary: 'Links between resources that are registered, as measured or overridden',
      query: PageQuery,
      answers: { 200: { description: 'A page of links', schema: LinkPage } },
      handle: async ({ query }) => {
        const now = deps.now()
        const [all, resources] = await Promise.all([deps.state.links.all(), deps.state.resources.all()])
        const names = new Set(resources.map(({ name }) => name))
        // The record of a link stays when a machine leaves, which may only start again.
        const joined = all.filter(({ from, to }) => names.has(from) && names.has(to))
        const links = joined.map((link) => ({
          ...link,
          // Redis' clock may be set back.
          ageMs: Math.max(0, Math.round(now - Date.parse(link.measuredAt))),
        }))
        return paginate(links, (link) => linkId(link.from, link.to), query)
      },
    }),
    route({
      method: 'get',
      path: '/v1/networks',
      id: 'listNetworks',
      access: 'read',
      summary: 'The named network presets and where their figures come from',
      answers: { 200: { description: 'Presets by name', schema: Networks } },
      alone: true,
      handle: () => NETWORK_PRESETS,
    }),
    route({
      method: 'put',
      path: '/v1/links/:from/:to',
      id: 'overrideLink',
      access: 'operate',
      summary: 'Override a link; it stays until deleted, whatever is measured',
      params: LinkPath,
      body: LinkSettings,
      answers: { 200: { description: 'The link as it is now planned with', schema: Link } },
      handle: ({ params, body }) => overrideLink(deps, params, body),
    }),
    route({
      method: 'delete',
      path: '/v1/links/:from/:to',
      id: 'forgetLink',
      access: 'operate',
      summary: 'Delete what a link was overridden with: what is measured holds again at once',
      params: LinkPath,
      query: z.object({
        all: yesOrNo
          .default(false)
          .describe('also forget what was measured or imported; services measure it again'),
      }),
      answers: { 200: { description: 'What holds now', schema: ForgottenLink } },
      handle: ({ params, query }) => forgetLink(deps, params, query.all),
    }),
  ]
}

async function overrideLink(
  deps: PlannerDeps,
  { from, to }: z.infer<typeof LinkPath>,
  settings: z.infer<typeof LinkSettings>,
): Promise<Link> {
  const [first, second] = [await deps.state.resources.need(from), await deps.state.resources.need(to)]
  if (from === to) throw new ScissionError('badRequest', `a link joins two resources; both are ${from}`)
  if (first.tierIndex >= second.tierIndex)
    throw new ScissionError(
      'badRequest',
      `a request only moves to a later tier: ${from} is in ${first.tier}, ${to} in ${second.tier}`,
      { from: first.tier, to: second.tier },
    )
  const link: Link = {
    from,
    to,
    ...settings,
    returnBandwidthMbps: settings.returnBandwidthMbps ?? settings.bandwidthMbps,
    source: 'override',
    emulated: false,
    samples: [],
    measuredAt: new Date(deps.now()).toISOString(),
  }
  const stored = await deps.state.links.update(linkId(from, to), (current) => withOverride(current, link))
  return stored ?? link
}
