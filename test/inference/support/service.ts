/** Inference services on free ports, with a Redis of the test's own, and a bare HTTP client that shows every byte. */
import http from 'node:http'
import { buffer } from 'node:stream/consumers'
import { createInferenceService, type InferenceService } from '../../../services/inference/app.ts'
import type { Engine } from '../../../services/inference/serving/engine.ts'
import { INFERENCE_SETTINGS, readConfig } from '../../../shared/platform/service/service-config.ts'
import { listen } from '../../../shared/platform/http-server/listen.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { until } from '../../support/eventually.ts'

export interface TestService extends InferenceService {
  url: string
  /** As a clean shutdown does it. */
  stop: () => Promise<void>
}

/** @param env settings by their environment names. */
export async function startInference(
  redisUrl: string,
  env: Record<string, string>,
  engine?: Engine,
): Promise<TestService> {
  const service = await startUnready(redisUrl, env, engine)
  await until(async () => (await call('GET', `${service.url}/readyz`)).status === 200)
  return service
}

/** The same without waiting until it is ready. */
export async function startUnready(
  redisUrl: string,
  env: Record<string, string>,
  engine?: Engine,
): Promise<TestService> {
  const config = readConfig(INFERENCE_SETTINGS, { REDIS_URL: redisUrl, SCISSION_PORT: '0', ...env })
  const log = createLog('test', process.env['TEST_LOG'] ?? 'silent')
  const service = createInferenceService(config, log, engine)
  const listening = await listen(service.app, config.port, config.host, '/v2', config)
  // Refused if another service has its name, which /readyz says then.
  service.start(listening.url).catch(() => undefined)
  return {
    ...service,
    url: listening.url,
    stop: async () => {
      await service.leave()
      await listening.close()
      await service.close()
    },
  }
}

export interface RawAnswer {
  status: number
  headers: http.IncomingHttpHeaders
  body: Buffer
  /** The body as JSON, or undefined. */
  json: unknown
}

/** One request, nothing added but what is given (and what HTTP needs). */
export function call(
  method: string,
  url: string,
  body?: string | Uint8Array,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<RawAnswer> {
  return new Promise((resolve, reject) => {
    const request = http.request(url, { method, headers, agent: false, signal }, (response) => {
      const { statusCode: status = 0, headers } = response
      buffer(response).then((body) => resolve({ status, headers, body, json: asJson(body) }), reject)
    })
    request.on('error', reject)
    request.end(body)
  })
}

function asJson(body: Buffer): unknown {
  try {
    return JSON.parse(body.toString())
  } catch {
    return undefined
  }
}

/** Parts of an answer's JSON: the outputs, the values of the first of them, the parameters, the error. */
export const outputsOf = (json: unknown) => (json as { outputs: { name: string; data: unknown[] }[] }).outputs
export const valuesOf = (json: unknown) => (json as { outputs: { data: number[] }[] }).outputs[0]?.data
export const parametersOf = (json: unknown) => (json as { parameters: Record<string, unknown> }).parameters
export const errorOf = (json: unknown) => (json as { error: string }).error

export const postJson = (url: string, body: unknown) =>
  call('POST', url, JSON.stringify(body), { 'Content-Type': 'application/json' })

/** A body with binary tensors behind its JSON. */
export function postBinary(
  url: string,
  json: unknown,
  tensors: Uint8Array,
  headers: Record<string, string> = {},
): Promise<RawAnswer> {
  const head = Buffer.from(typeof json === 'string' ? json : JSON.stringify(json))
  return call('POST', url, Buffer.concat([head, tensors]), {
    'Content-Type': 'application/octet-stream',
    'Inference-Header-Content-Length': String(head.length),
    ...headers,
  })
}

/** JSON and tensor bytes of an answer. */
export function splitAnswer(answer: RawAnswer): { json: Record<string, unknown>; tensors: Buffer } {
  const length = answer.headers['inference-header-content-length']
  const at = length === undefined ? answer.body.length : Number(length)
  return {
    json: JSON.parse(answer.body.subarray(0, at).toString()) as Record<string, unknown>,
    tensors: answer.body.subarray(at),
  }
}
