/** The Express app of every service: its routes, those that all services have (frame-routes.ts), 404, 405, errors. */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import express, { type Express, type NextFunction, type Request, type Response } from 'express'
import type { z } from 'zod'
import { collectDefaultMetrics, Histogram, Registry } from 'prom-client'
import { coerceError, ScissionError } from '../errors.ts'
import { addIgnoredMetric } from '../ignored.ts'
import type { Logger } from '../log.ts'
import type { Access } from '../access/identity.ts'
import { type Door, Guard, isShown, doorOf, noteDoor, OPEN_DOOR } from '../access/guard.ts'
import { addQuotaMetric } from '../access/quotas.ts'
import { answerError, sendError, speaksProtocol } from './error-answers.ts'
import { docs } from './docs-page.ts'
import { frameRoutes } from './frame-routes.ts'
import { sendJson } from './json-answer.ts'
import type { Neighbours } from './neighbours.ts'
import { REVISION_HEADER } from '../redis/revision.ts'
import { type Revisions, revisionOf, waitAsAsked } from './revisions.ts'
import type { RequestLog } from './request-log.ts'
import { Reply, type Route, validate } from './route.ts'
import { refuseManyValues } from './value-limit.ts'

export interface AppDeps {
  name: string
  /** What the service is for, in a sentence or two of Markdown: for `/`, `/docs` and the OpenAPI description. */
  description?: string
  /** Ids of the routes that a newcomer calls first, in their order. */
  begin?: readonly string[]
  /** URLs of the other services, as far as they are known. */
  neighbours?: Neighbours
  log: Logger
  routes: readonly Route[]
  /** Shown in /healthz, e.g. `{ redis: 'emulated' }`. */
  facts: () => Record<string, unknown>
  /** The same for callers that nothing is known of. */
  open?: () => Record<string, unknown>
  /** Who is let in, for /healthz. */
  accessFacts?: () => Record<string, unknown>
  /** What does not work now of what lets callers in. */
  accessWarning?: () => string | undefined
  /** Resolves if the service can do its work; rejects with the reason if not. */
  ready: () => Promise<void>
  /** What does not work although the service is ready. */
  readyWarning?: () => string | undefined
  metrics?: Registry
  /** Of a service that reads the shared state. */
  revisions?: Revisions
  /** Without one, nobody is let in through a door that asks. */
  guard?: Guard
  /** Refuses requests that a page of another site makes a browser send. @throws ScissionError forbidden */
  checkBrowser?: (req: IncomingMessage) => void
  /** Absent = nothing is logged of requests. */
  requests?: RequestLog | undefined
  /** Why everybody can do everything here although it should not be so: every page says it. */
  warning?: string | undefined
}

/** A listener for a door that is open, and one for each other door. */
export interface App extends RequestListener {
  at: (door: Door) => RequestListener
}

export function createApp(deps: AppDeps): App {
  const listener = listenerOf(deps)
  const at =
    (door: Door): RequestListener =>
    (req, res) => {
      noteDoor(req, door)
      listener(req, res)
    }
  return Object.assign(at(OPEN_DOOR), { at })
}

function listenerOf(deps: AppDeps): RequestListener {
  const app = express()
  app.disable('x-powered-by')
  app.set('etag', false)
  const registry = deps.metrics ?? new Registry()
  collectDefaultMetrics({ register: registry })
  addIgnoredMetric(registry)
  addQuotaMetric(registry)
  const measure = requestTimer(registry)
  app.use((req, res, next) => {
    measure(req, res, () => routeOf(req))
    deps.requests?.accessed(req, res)
    next()
  })
  app.use((req, res, next) => {
    deps.checkBrowser?.(req)
    // No page of another origin shows an answer in a frame, or takes it for something else than it is.
    res.set({ 'X-Content-Type-Options': 'nosniff', 'X-Frame-Options': 'DENY' })
    next()
  })
  app.use('/docs', ...docs(deps))
  const routes = frameRoutes(deps, registry)
  for (const route of routes) mount(app, route, deps)
  refuseOthers(app, routes)
  // Express recognises an error handler by its four parameters.
  app.use((thrown: unknown, req: Request, res: Response, _next: NextFunction) =>
    answerError(deps.log, req, res, req.path, thrown),
  )
  return directly(deps, measure, app)
}

/**
 * Answers the routes that have a `direct` handler before Express: on a machine whose caches hold a model's weights, Express
 * takes 0.2 to 0.4 ms of a request to find the handler and to write the head. Only addresses spelled exactly as declared
 * are matched here; Express routes other spellings to the same handler.
 * @param measure begins to time a request.
 * @param app answers all other requests.
 */
function directly(
  { routes, log, revisions, guard = new Guard(), checkBrowser, requests }: AppDeps,
  measure: ReturnType<typeof requestTimer>,
  app: RequestListener,
): RequestListener {
  const found = routes.flatMap(({ method, path, access, direct }) =>
    direct ? [{ method: method.toUpperCase(), path, access, pattern: patternOf(path), answer: direct }] : [],
  )
  if (found.length === 0) return app
  return (req, res) => {
    const path = pathOf(req.url ?? '')
    for (const route of found) {
      const params = route.method === req.method ? paramsOf(route.pattern.exec(path)) : undefined
      if (!params || !isShown(doorOf(req), route.access)) continue
      measure(req, res, () => route.path)
      requests?.accessed(req, res)
      const answered = afterAll(
        [
          () => checkBrowser?.(req),
          () => guard.admit(req, route.access, modelOf(params), res),
          () => waitAsAsked(revisions, req),
        ],
        () => route.answer(params, req, res),
      )
      answered.catch((thrown: unknown) => answerError(log, req, res, path, thrown))
      return
    }
    app(req, res)
  }
}

/** Runs `last` after each of `first` is done; at once, without giving way, if none of them has to wait. */
function afterAll(
  first: readonly (() => Promise<void> | undefined | void)[],
  last: () => Promise<void>,
): Promise<void> {
  try {
    for (const [index, step] of first.entries()) {
      const waiting = step()
      if (waiting) return waiting.then(() => afterAll(first.slice(index + 1), last))
    }
    return last()
  } catch (thrown) {
    return Promise.reject(coerceError(thrown))
  }
}

function pathOf(url: string): string {
  const query = url.indexOf('?')
  return query === -1 ? url : url.slice(0, query)
}

/** @param path as Express 5 takes it, without wildcards and optional parts: `/v2/models/:model/infer`. */
function patternOf(path: string): RegExp {
  const escaped = path.replace(/[.*+?^${}()|[\]\\]/g, '\\$&')
  return new RegExp(`^${escaped.replace(/:(\w+)/g, '(?<$1>[^/]+?)')}$`)
}

/** @returns undefined without a match, or if an escape sequence is broken: Express answers that. */
function paramsOf(match: RegExpExecArray | null): Record<string, string> | undefined {
  if (!match) return undefined
  const params: Record<string, string> = {}
  try {
    for (const [name, value] of Object.entries(match.groups ?? {})) params[name] = decodeURIComponent(value)
  } catch (error) {
    if (error instanceof URIError) return undefined
    throw error
  }
  return params
}

function routeOf({ route }: Request): string {
  const matched: unknown = route
  return typeof matched === 'object' && matched && 'path' in matched ? String(matched.path) : 'none'
}

function requestTimer(registry: Registry) {
  const seconds = new Histogram({
    name: 'scission_http_request_duration_seconds',
    help: 'Time from the request line to the end of the answer',
    labelNames: ['method', 'route', 'status'],
    buckets: [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60],
    registers: [registry],
  })
  return ({ method = '' }: IncomingMessage, res: ServerResponse, path: () => string): void => {
    const end = seconds.startTimer({ method })
    res.once('close', () => end({ route: path(), status: String(res.statusCode) }))
  }
}

const AMONG_MACHINES: ReadonlySet<Access> = new Set<Access>(['machine', 'planner', 'manage'])

/** Largest JSON body, and largest of routes that take many values: parsing four megabytes takes tens of milliseconds. */
const JSON_LIMIT_BYTES = 256 * 1024
const LONG_JSON_LIMIT_BYTES = 4 * 1024 * 1024
const jsonLimitOf = ({ access, maxValues }: Route): number =>
  maxValues !== undefined || AMONG_MACHINES.has(access) ? LONG_JSON_LIMIT_BYTES : JSON_LIMIT_BYTES

function mount(app: Express, route: Route, { revisions, log, guard = new Guard(), requests }: AppDeps): void {
  const isLasting = Object.values(route.answers).some(({ events }) => events !== undefined)
  // Before the body is read: nobody who may not call it makes the service parse anything.
  const admit = async (req: Request, res: Response, next: NextFunction) => {
    if (!isShown(doorOf(req), route.access)) return next('route')
    requests?.audited(route, req.params, req, res)
    await guard.admit(req, route.access, modelOf(req.params), res)
    if (isLasting) guard.noteLasting(req, route.access, modelOf(req.params))
    next()
  }
  const parser = express.json({ limit: jsonLimitOf(route), strict: false, type: () => true })
  const parsers = [...(takesOnlyJson(route) ? [onlyJson] : []), ...(route.body ? [parser] : [])]
  app[route.method](route.path, admit, ...parsers, async (req: Request, res: Response) => {
    const params: unknown = route.params ? validate(route.params, req.params, 'path') : req.params
    const query: unknown = route.query ? validate(route.query, req.query, 'query') : req.query
    const body: unknown = route.body ? bodyAsIn(route, route.body, req) : undefined
    if (!route.alone) await waitAsAsked(revisions, req)
    const result = await route.handle({ params, query, body }, req, res)
    if (revisions && result !== undefined) {
      const revision = await revisionOf(revisions, route, log)
      if (revision !== undefined) res.set(REVISION_HEADER, revision)
    }
    if (result instanceof Reply) {
      res.status(result.status).set(result.headers)
      if (result.body === undefined) res.end()
      else await sendJson(res, result.body)
    } else if (result !== undefined) await sendJson(res, result)
  })
}

/** The name in `name:from-to` and `name@version`. */
const modelOf = ({ model }: Record<string, unknown>): string | undefined =>
  typeof model === 'string' ? /^[^:@]*/.exec(model)?.[0] : undefined

const takesOnlyJson = ({ body, rawBody }: Route): boolean =>
  body !== undefined ||
  (rawBody !== undefined && Object.keys(rawBody.content).every((type) => type === 'application/json'))

/** A form of another site, which a browser sends without asking, cannot be JSON. */
function onlyJson(req: Request, _res: Response, next: NextFunction): void {
  const type = req.headers['content-type']
  // Clients of the protocol declare nothing.
  if (type === undefined || /^application\/([\w.+-]+\+)?json\s*(;|$)/i.test(type)) return next()
  throw new ScissionError(
    'unsupportedMediaType',
    `the body is declared as ${type.slice(0, 100)}: this takes JSON, with a header Content-Type: application/json (curl --json)`,
  )
}

function bodyAsIn({ access, maxValues }: Route, schema: z.ZodType, req: Request): unknown {
  const body = bodyOf(req)
  // What machines say to each other has been looked at by the one that says it.
  if (!AMONG_MACHINES.has(access)) refuseManyValues(body, maxValues)
  return validate(schema, body, 'body')
}

/** An empty body stands for `{}`; `null` is a value like any other. */
function bodyOf(req: Request): unknown {
  const body: unknown = req.body
  return body === undefined ? {} : body
}

/** Answers 405 on a known path with another method, else 404; on `/v2` with the protocol's own texts. */
function refuseOthers(app: Express, routes: readonly Route[]): void {
  const refusal = (req: Request, code: 'methodNotAllowed' | 'notFound', other: string) => {
    const protocol = speaksProtocol(req.path)
    const fixed = code === 'notFound' ? 'Not Found' : 'Method Not Allowed'
    return new ScissionError(code, protocol ? fixed : other)
  }
  for (const path of new Set(routes.map((route) => route.path))) {
    const own = routes.filter((route) => route.path === path)
    app.all(path, (req, res, next) => {
      const shown = own.filter(({ access }) => isShown(doorOf(req), access))
      if (shown.length === 0) return next()
      const methods = shown.map(({ method }) => method.toUpperCase())
      // Express answers HEAD as GET, without the body.
      const allowed = methods.flatMap((method) => (method === 'GET' ? [method, 'HEAD'] : [method]))
      res.set('Allow', allowed.join(', '))
      sendError(
        res,
        req.path,
        refusal(req, 'methodNotAllowed', `${req.method} is not allowed here; allowed: ${allowed.join(', ')}`),
      )
    })
  }
  app.use((req, res) => {
    sendError(res, req.path, refusal(req, 'notFound', `there is no ${req.method} ${req.path}; see /docs`))
  })
}
