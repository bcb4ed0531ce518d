/**
 * The addresses of Triton's extensions that are not here. A client finds the reason in the protocol's words instead of a
 * plain 404, which it would take for a wrong address. GET /v2 does not list them.
 *
 * All are refused with 501, the status of Triton's code for what a server does not support. (Triton itself answers 503 if it
 * was built without tracing or logging; here 503 means that the same request may succeed in a moment.)
 */
import { ScissionError } from '../../../shared/platform/errors.ts'
import { route, type Route } from '../../../shared/platform/http-server/route.ts'

type Refusal = readonly [method: 'get' | 'post', path: string, reason: string]

const TRACING = 'the server does not support tracing'
const LOGGING =
  'the server does not support dynamic logging; SCISSION_LOG_LEVEL of the service sets its level'
const GENERATE = 'the server does not support generate; use infer'
const ONE_REPOSITORY = "'repository_name' specification is not supported"

const sharedMemory = (kind: 'system' | 'cuda'): Refusal[] => {
  const reason = `the server does not support ${kind} shared memory; send tensors in the request, as JSON or as binary data`
  return ['', '/region/:region'].flatMap((region) => [
    ['get', `/v2/${kind}sharedmemory${region}/status`, reason],
    ['post', `/v2/${kind}sharedmemory${region}/register`, reason],
    ['post', `/v2/${kind}sharedmemory${region}/unregister`, reason],
  ])
}

const REFUSALS: readonly Refusal[] = [
  ['get', '/v2/trace/setting', TRACING],
  ['post', '/v2/trace/setting', TRACING],
  ['get', '/v2/models/:model/trace/setting', TRACING],
  ['post', '/v2/models/:model/trace/setting', TRACING],
  ['get', '/v2/logging', LOGGING],
  ['post', '/v2/logging', LOGGING],
  ...sharedMemory('system'),
  ...sharedMemory('cuda'),
  ...['/v2/models/:model', '/v2/models/:model/versions/:version'].flatMap((model): Refusal[] => [
    ['post', `${model}/generate`, GENERATE],
    ['post', `${model}/generate_stream`, GENERATE],
  ]),
  ['post', '/v2/repository/:repository/index', ONE_REPOSITORY],
  ['post', '/v2/repository/:repository/models/:model/load', ONE_REPOSITORY],
  ['post', '/v2/repository/:repository/models/:model/unload', ONE_REPOSITORY],
]

export const refusedRoutes = (): Route[] =>
  REFUSALS.map(([method, path, reason]) =>
    route({
      method,
      path,
      summary: 'Refused: an extension of the protocol that is not supported',
      answers: { 501: { description: `Always: ${reason}` } },
      handle: () => {
        throw new ScissionError('notSupported', reason)
      },
    }),
  )
