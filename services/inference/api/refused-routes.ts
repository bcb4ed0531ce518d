/**
 * The addresses of Triton's extensions that are not here. A client finds the reason in the protocol's words instead of a
 * plain 404, which it would take for a wrong address. GET /v2 does not list them.
 *
 * All are refused with 501, the status of Triton's code for what a server does not support. (Triton itself answers 503 if it
 * was built without tracing or logging; here 503 means that the same request may succeed in a moment.)
 */
import { z } from 'zod'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { ProtocolErrorBody } from '../../../shared/platform/http-server/error-answers.ts'
import { route, type Route } from '../../../shared/platform/http-server/route.ts'

/** Of one address: the name of the operation, how and where it is asked, and why it is refused. */
type Refusal = readonly [id: string, method: 'get' | 'post', path: string, reason: string]

const TRACING = 'the server does not support tracing'
const LOGGING =
  'the server does not support dynamic logging; SCISSION_LOG_LEVEL of the service sets its level'
const GENERATE = 'the server does not support generate; use infer'
const ONE_REPOSITORY = "'repository_name' specification is not supported"

function sharedMemory(kind: 'system' | 'cuda', name: string): Refusal[] {
  const reason = `the server does not support ${kind} shared memory; send tensors in the request, as JSON or as binary data`
  return [
    { region: '', of: '' },
    { region: '/region/:region', of: 'Region' },
  ].flatMap(({ region, of }) => [
    [`read${name}SharedMemory${of}`, 'get', `/v2/${kind}sharedmemory${region}/status`, reason],
    [`register${name}SharedMemory${of}`, 'post', `/v2/${kind}sharedmemory${region}/register`, reason],
    [`unregister${name}SharedMemory${of}`, 'post', `/v2/${kind}sharedmemory${region}/unregister`, reason],
  ])
}

const generate = (model: string, of: string): Refusal[] => [
  [`generate${of}`, 'post', `${model}/generate`, GENERATE],
  [`generateStream${of}`, 'post', `${model}/generate_stream`, GENERATE],
]

const REFUSALS: readonly Refusal[] = [
  ['readTraceSetting', 'get', '/v2/trace/setting', TRACING],
  ['changeTraceSetting', 'post', '/v2/trace/setting', TRACING],
  ['readModelTraceSetting', 'get', '/v2/models/:model/trace/setting', TRACING],
  ['changeModelTraceSetting', 'post', '/v2/models/:model/trace/setting', TRACING],
  ['readModelTraceSettingOfVersion', 'get', '/v2/models/:model/versions/:version/trace/setting', TRACING],
  ['changeModelTraceSettingOfVersion', 'post', '/v2/models/:model/versions/:version/trace/setting', TRACING],
  ['readLogging', 'get', '/v2/logging', LOGGING],
  ['changeLogging', 'post', '/v2/logging', LOGGING],
  ...sharedMemory('system', 'System'),
  ...sharedMemory('cuda', 'Cuda'),
  ...generate('/v2/models/:model', ''),
  ...generate('/v2/models/:model/versions/:version', 'OfVersion'),
  ['readIndexOfRepository', 'post', '/v2/repository/:repository/index', ONE_REPOSITORY],
  ['loadModelOfRepository', 'post', '/v2/repository/:repository/models/:model/load', ONE_REPOSITORY],
  ['unloadModelOfRepository', 'post', '/v2/repository/:repository/models/:model/unload', ONE_REPOSITORY],
]

export const refusedRoutes = (): Route[] =>
  REFUSALS.map(([id, method, path, reason]) =>
    route({
      method,
      path,
      id,
      access: 'identified',
      summary: 'Refused: an extension of the protocol that is not supported',
      ...parametersOf(path),
      answers: { 501: { description: `Always: ${reason}`, schema: ProtocolErrorBody } },
      alone: true,
      handle: () => {
        throw new ScissionError('notSupported', reason)
      },
    }),
  )

function parametersOf(path: string): { params?: z.ZodObject } {
  const names = path.match(/(?<=:)\w+/g)
  return names ? { params: z.object(Object.fromEntries(names.map((name) => [name, z.string()]))) } : {}
}
