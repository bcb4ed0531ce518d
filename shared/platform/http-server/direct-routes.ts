/**
 * Routes that answer through Node's own request and response and are matched before Express: on a machine whose caches
 * hold a model's weights, Express takes 0.2 to 0.4 ms of a request to find the handler and to write the head. Only
 * addresses spelled exactly as declared are matched here; Express routes other spellings to the same handler.
 */
import type { IncomingMessage, RequestListener, ServerResponse } from 'node:http'
import type { DirectHandler, Route } from './route.ts'

interface DirectRoute {
  method: string
  path: string
  pattern: RegExp
  answer: DirectHandler
}

export interface DirectDeps {
  /** Answers all other requests. */
  app: RequestListener
  /** Begins to time a request. `path` is read when it ends. */
  measure: (req: IncomingMessage, res: ServerResponse, path: () => string) => void
  fail: (req: IncomingMessage, res: ServerResponse, path: string, thrown: unknown) => void
}

export function directly(routes: readonly Route[], { app, measure, fail }: DirectDeps): RequestListener {
  const found = routes.flatMap(({ method, path, direct }): DirectRoute[] =>
    direct ? [{ method: method.toUpperCase(), path, pattern: patternOf(path), answer: direct }] : [],
  )
  if (found.length === 0) return app
  return (req, res) => {
    const path = pathOf(req.url ?? '')
    for (const route of found) {
      const params = route.method === req.method ? paramsOf(route.pattern.exec(path)) : undefined
      if (!params) continue
      measure(req, res, () => route.path)
      route.answer(params, req, res).catch((thrown: unknown) => fail(req, res, path, thrown))
      return
    }
    app(req, res)
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
