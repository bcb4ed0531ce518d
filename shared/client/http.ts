/**
 * JSON over HTTP: one axios instance per service address, with a timeout and kept-alive connections. Every failure is a
 * ScissionError that names the service and the call.
 */
import { ClientRequest } from 'node:http'
import { Readable } from 'node:stream'
import axios, { AxiosHeaders, type AxiosRequestConfig, type AxiosResponse, isAxiosError } from 'axios'
import { z } from 'zod'
import { pageOf } from '../contracts/common.ts'
import { authorizationHeader, type Shown } from '../platform/credentials.ts'
import { agentsOf } from './agents.ts'
import { certificateFault } from '../platform/access/tls.ts'
import { type ErrorCode, ERROR_STATUS, ScissionError } from '../platform/errors.ts'
import { ErrorBody } from '../platform/http-server/error-answers.ts'
import { AT_LEAST_HEADER, REVISION_HEADER } from '../platform/redis/revision.ts'
import { KnownRevision } from './known-revision.ts'

const DEFAULT_TIMEOUT_MS = 30_000
/** Longest answer in JSON. Larger ones, as of many layers, are asked for with a limit of their own. */
const MAX_JSON_BYTES = 64 * 1024 ** 2
/** Longest answer in bytes where the caller names no limit. */
const MAX_BYTES = 2 * 1024 ** 3
/** Connections in a row that turn out to be closed, before a request fails. */
const MAX_STALE = 3
/** Of a list: each has up to a hundred items. */
const MAX_PAGES = 1000

/** @property isQuestion true of a POST that changes nothing. */
type JsonCall = AxiosRequestConfig & { isQuestion?: boolean }

export interface JsonClient {
  readonly baseUrl: string
  /** Sends a request. @returns the answer, checked against `schema`. */
  request: <T extends z.ZodType>(schema: T, options: JsonCall) => Promise<z.infer<T>>
  /** Reads all pages of a list. @returns its items. */
  all: <T extends z.ZodType>(item: T, url: string, params?: Record<string, string>) => Promise<z.infer<T>[]>
  /** Sends a request and ignores the answer's body. */
  send: (options: JsonCall) => Promise<void>
  /** Sends a request. @returns the answer's bytes and headers, unparsed. */
  bytes: (options: JsonCall) => Promise<{ data: Uint8Array; headers: Record<string, unknown> }>
}

/**
 * Opens a client of one service.
 * @param service name in errors: "benchmark service".
 * @param known shared by clients of several services, each of which then answers with what the others have acknowledged.
 * @param shown with every request.
 * @example
 * const http = createJsonClient('benchmark service', 'http://127.0.0.1:8081')
 * const model = await http.request(UploadedModel, { url: '/v1/models/mobilenet' })
 * const models = await http.all(Model, '/v1/models')
 */
export function createJsonClient(
  service: string,
  baseUrl: string,
  known: KnownRevision = new KnownRevision(),
  shown?: Shown,
): JsonClient {
  const instance = axios.create({
    baseURL: baseUrl,
    timeout: DEFAULT_TIMEOUT_MS,
    ...agentsOf(shown?.credentials),
    // What is registered is called, nothing that it points to.
    maxRedirects: 0,
    // Loopback and cluster addresses: never through a proxy from the environment.
    proxy: false,
    maxBodyLength: Number.POSITIVE_INFINITY,
    maxContentLength: MAX_JSON_BYTES,
  })
  const ask = async (options: JsonCall, isRead: boolean, asked: string | undefined) => {
    const limit = inTime(options)
    try {
      const headers = AxiosHeaders.concat(options.headers as AxiosHeaders, {
        ...authorizationHeader(shown),
        ...(asked !== undefined && { [AT_LEAST_HEADER]: asked }),
      })
      const send = () => instance.request<unknown>({ ...options, headers, signal: limit.signal })
      const answer = await (mayRepeat(options, isRead) ? unlessStale(send) : send())
      known.note(answer.headers[REVISION_HEADER.toLowerCase()])
      return answer
    } catch (thrown) {
      throw limit.isOver() ? tooLate(service, baseUrl, limit.ms) : translate(thrown, service, baseUrl)
    } finally {
      limit.clear()
    }
  }
  const call = async ({ isQuestion, ...options }: JsonCall): Promise<AxiosResponse<unknown>> => {
    const isRead = isQuestion ?? (options.method === undefined || options.method === 'GET')
    try {
      return await ask(options, isRead, known.asked)
    } catch (thrown) {
      const isRedis = thrown instanceof ScissionError && thrown.code === 'queueUnavailable'
      if (!isRead || !isRedis || !known.takesOutdated) throw thrown
      known.outdated(thrown.message)
      return await ask(options, isRead, undefined)
    }
  }
  const request: JsonClient['request'] = async (schema, options) => {
    const { data } = await call(options)
    const parsed = schema.safeParse(data)
    if (parsed.success) return parsed.data
    const where = `${options.method ?? 'GET'} ${options.url}`
    throw new ScissionError(
      'internal',
      `${service} at ${baseUrl} answered ${where} with something unexpected: ${parsed.error.message}`,
    )
  }
  return {
    baseUrl,
    request,
    async all(item, url, params) {
      const items = []
      let cursor: string | undefined
      let pages = 0
      do {
        pages += 1
        if (pages > MAX_PAGES)
          throw new ScissionError('internal', `${service} at ${baseUrl} never ends its list ${url}`)
        const page = await request(pageOf(item), { url, params: { ...params, cursor } })
        items.push(...page.items)
        cursor = page.next
      } while (cursor !== undefined)
      return items
    },
    async send(options) {
      await call(options)
    },
    async bytes(options) {
      const response = await call({ maxContentLength: MAX_BYTES, ...options, responseType: 'arraybuffer' })
      return { data: new Uint8Array(response.data as Buffer), headers: response.headers }
    },
  }
}

/** Twice does what once does, so that it may be sent again when nobody knows whether it arrived (RFC 9110, 9.2.2). */
const mayRepeat = ({ method, data }: JsonCall, isRead: boolean): boolean =>
  (isRead || method === 'PUT' || method === 'DELETE') && !(data instanceof Readable)

/** Sends a request again if the service had closed the connection that it went out on. */
async function unlessStale<T>(send: () => Promise<T>): Promise<T> {
  for (let left = MAX_STALE; left > 0; left -= 1)
    try {
      return await send()
    } catch (thrown) {
      if (!isStale(thrown)) throw thrown
    }
  return await send()
}

const isStale = (thrown: unknown): boolean =>
  isAxiosError(thrown) &&
  thrown.response === undefined &&
  (thrown.code === 'ECONNRESET' || thrown.code === 'EPIPE') &&
  thrown.request instanceof ClientRequest &&
  thrown.request.reusedSocket

/**
 * axios' own timeout is one of silence: an answer that comes byte by byte would never end. What streams a body to the service
 * may take its time.
 */
function inTime({ timeout = DEFAULT_TIMEOUT_MS, data, signal }: JsonCall) {
  const limit = new AbortController()
  let over = false
  const stop = () => limit.abort()
  if (signal?.aborted) stop()
  signal?.addEventListener?.('abort', stop)
  const isLimited = timeout > 0 && !(data instanceof Readable)
  const timer = isLimited
    ? setTimeout(() => {
        over = true
        stop()
      }, timeout)
    : undefined
  return {
    ms: timeout,
    signal: limit.signal,
    isOver: () => over,
    clear: () => {
      clearTimeout(timer)
      signal?.removeEventListener?.('abort', stop)
    },
  }
}

const tooLate = (service: string, baseUrl: string, timeoutMs: number) =>
  new ScissionError('deadlineExceeded', `the ${service} at ${baseUrl} did not answer in ${timeoutMs} ms`)

const isErrorCode = (code: string): code is ErrorCode => Object.hasOwn(ERROR_STATUS, code)

/** The Open Inference Protocol's error body has no code; it is derived from the status. */
const ProtocolError = z.object({ error: z.string() })

function codeOfStatus(status: number): ErrorCode {
  // Several codes share 503; only the message distinguishes them.
  if (status === 503) return 'notReady'
  const codes = Object.keys(ERROR_STATUS).filter(isErrorCode)
  return codes.find((code) => ERROR_STATUS[code] === status) ?? (status < 500 ? 'badRequest' : 'internal')
}

/** Parses the body of an error: a failed call for bytes has its JSON as bytes. */
function readable(body: unknown): unknown {
  if (!(body instanceof Uint8Array)) return body
  const text = Buffer.from(body).toString('utf8')
  try {
    return JSON.parse(text) as unknown
  } catch {
    return text
  }
}

/** How the message begins that axios gives the error of an answer longer than `maxContentLength`. */
const TOO_LONG = 'maxContentLength size of'

/** Converts a failed call to the service's own error if it sent one, else to an error that names the service. */
function translate(thrown: unknown, service: string, baseUrl: string): unknown {
  if (!isAxiosError(thrown)) return thrown
  const body = readable(thrown.response?.data)
  const own = ErrorBody.safeParse(body)
  if (own.success && isErrorCode(own.data.error.code)) {
    return new ScissionError(own.data.error.code, own.data.error.message, own.data.error.details)
  }
  const protocol = ProtocolError.safeParse(body)
  if (protocol.success && thrown.response) {
    return new ScissionError(codeOfStatus(thrown.response.status), protocol.data.error, {
      service,
      status: thrown.response.status,
    })
  }
  if (thrown.message.startsWith(TOO_LONG)) {
    const limit = `${thrown.config?.maxContentLength} bytes`
    return new ScissionError(
      'payloadTooLarge',
      `the ${service} at ${baseUrl} answered with more than ${limit}`,
    )
  }
  if (thrown.code === 'ERR_CANCELED')
    return new ScissionError('cancelled', `the request to the ${service} was cancelled`)
  if (thrown.code === 'ECONNABORTED') {
    return tooLate(service, baseUrl, thrown.config?.timeout ?? DEFAULT_TIMEOUT_MS)
  }
  // The address is not one that is called.
  const refusal = thrown.cause instanceof ScissionError ? thrown.cause.message : undefined
  const status = thrown.response?.status
  const what = thrown.response
    ? `answered ${status}: ${JSON.stringify(body)?.slice(0, 300)}`
    : `cannot be reached (${refusal ?? certificateFault(thrown.code) ?? thrown.code ?? thrown.message})`
  return new ScissionError('peerUnavailable', `the ${service} at ${baseUrl} ${what}`, {
    service,
    ...(status !== undefined && { status }),
  })
}
