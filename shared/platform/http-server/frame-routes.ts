/** Routes that every service has: what it is, how it is, and its description. */
import type { IncomingMessage } from 'node:http'
import type { Registry } from 'prom-client'
import { z } from 'zod'
import { identityOf } from '../access/guard.ts'
import { VERSION } from '../version.ts'
import type { AppDeps } from './app.ts'
import { toScissionError } from './error-answers.ts'
import { openApiOf } from './openapi.ts'
import { reply, route, type Route, tagged } from './route.ts'
import { frontPage, FrontPage, frontPageHtml } from './front-page.ts'
import { neighboursFor } from './neighbours.ts'

const Health = z
  .looseObject({
    service: z.string(),
    version: z.string(),
    /** Since the process started, by a monotonic clock: nobody has to compare calendars. */
    uptimeMs: z.number().nonnegative(),
  })
  .meta({ id: 'Health' })
const Readiness = z
  .object({
    ready: z.boolean(),
    reason: z.string().optional(),
    warnings: z.array(z.string()).optional().describe('what does not work although the service is ready'),
  })
  .meta({ id: 'Readiness' })

/** @returns these routes, then the service's own. */
export function frameRoutes(deps: AppDeps, registry: Registry): Route[] {
  const routes = [
    ...tagged('Service', 'What every service tells of itself', [
      frontRoute(deps),
      healthRoute(deps),
      readinessRoute(deps),
      metricsRoute(registry),
      descriptionRoute(() => description),
    ]),
    ...deps.routes,
  ]
  const description = openApiOf(
    { name: deps.name, version: VERSION, description: deps.description ?? '' },
    routes,
  )
  return routes
}

function frontRoute(deps: AppDeps): Route {
  return route({
    method: 'get',
    path: '/',
    id: 'readFrontPage',
    access: 'anyone',
    summary: 'What this service is, and where to begin',
    answers: {
      200: {
        description: 'Links: JSON, or a page for a browser',
        content: { 'application/json': { schema: FrontPage }, 'text/html': { schema: z.string() } },
      },
    },
    alone: true,
    handle: async (_input, req, res) => {
      const page = frontPage(deps, isKnown(req) ? await neighboursFor(deps.neighbours, req.headers.host) : {})
      // A client that takes anything, like curl, gets JSON.
      if (req.accepts(['json', 'html']) !== 'html') return page
      res.type('html').send(frontPageHtml(page))
      return undefined
    },
  })
}

/** Who is not known learns only whether the service runs. */
const isKnown = (req: IncomingMessage): boolean => identityOf(req).kind !== 'nobody'

function healthRoute({ name, facts, accessFacts, open, warning }: AppDeps): Route {
  return route({
    method: 'get',
    path: '/healthz',
    id: 'readHealth',
    access: 'anyone',
    summary: 'Whether the process answers, and what it stands on',
    answers: { 200: { description: 'It does', schema: Health } },
    alone: true,
    handle: (_input, req) => ({
      service: name,
      version: VERSION,
      uptimeMs: Math.round(1000 * process.uptime()),
      ...(warning !== undefined && { warning }),
      ...open?.(),
      ...(isKnown(req) && { ...accessFacts?.(), ...facts() }),
    }),
  })
}

function readinessRoute({ ready, accessWarning, readyWarning }: AppDeps): Route {
  return route({
    method: 'get',
    path: '/readyz',
    id: 'readReadiness',
    access: 'anyone',
    summary: 'Whether the service can do its work',
    answers: {
      200: { description: 'It can', schema: Readiness },
      503: { description: 'It cannot; `reason` says why', schema: Readiness },
    },
    handle: async (_input, req) => {
      try {
        await ready()
        const warnings = [accessWarning?.(), readyWarning?.()].filter((one) => one !== undefined)
        return { ready: true, ...(isKnown(req) && warnings.length > 0 && { warnings }) }
      } catch (thrown) {
        const reason = isKnown(req) ? { reason: toScissionError(thrown).message } : {}
        return reply(503, { ready: false, ...reason })
      }
    },
  })
}

function metricsRoute(registry: Registry): Route {
  return route({
    method: 'get',
    path: '/metrics',
    id: 'readMetrics',
    access: 'machine',
    summary: 'Metrics for Prometheus',
    answers: {
      200: { description: 'In its text format', content: { 'text/plain': { schema: z.string() } } },
    },
    alone: true,
    handle: async (_input, _req, res) => {
      res.type(registry.contentType).send(await registry.metrics())
    },
  })
}

function descriptionRoute(description: () => Record<string, unknown>): Route {
  return route({
    method: 'get',
    path: '/openapi.json',
    id: 'readDescription',
    access: 'anyone',
    summary: 'This description',
    answers: { 200: { description: 'OpenAPI 3.1', schema: z.looseObject({ openapi: z.string() }) } },
    alone: true,
    handle: description,
  })
}
