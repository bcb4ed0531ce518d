/**
 * The HTTP client of the tensor path: one exchange at a time on kept-alive connections. Bodies are written from the tensors'
 * own memory and read into buffers of exactly the right size. If the peer closed an idle connection, the request is sent
 * again once on a new one, which is harmless because running a stage has no side effects.
 *
 * It is our own because undici 7.30.2 is slower here. Measured on two busy cores with both systems up at once: a hop with a
 * request of 1 MB takes 1.06 times as long with undici at its best (5013 pairs, 95 % interval 1.04 to 1.09), 4 KiB each way
 * 1.01 to 1.06 times. undici copies every chunk of an answer into the memory of its WebAssembly parser, and writes head and
 * body parts separately. Everything else uses undici (shared/platform/http-client.ts) or axios (shared/client).
 */
import http from 'node:http'
import { JSON_LENGTH_HEADER } from '../../../shared/oip/binary-message.ts'
import { type Credentials, NO_CREDENTIALS } from '../../../shared/platform/credentials.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { ERROR_CODE } from '../../../shared/platform/http-server/error-answers.ts'
import {
  ArrivalClock,
  type Observation,
  readServerTiming,
  SERVER_TIMING,
} from '../../../shared/platform/transfer-times.ts'
import { type BodySink, type InferBody, openSink } from '../messages/body.ts'
import { type Connection, Connections, type ExchangeEvents } from './connection-pool.ts'
import { type ResponseHead, ResponseParser } from './response-parser.ts'

export interface Call {
  method: 'GET' | 'POST'
  url: string
  /** Name of the service that is called; absent = nothing is shown to it. */
  to?: string | undefined
  headers: Record<string, string>
  body: readonly Uint8Array[]
  signal?: AbortSignal | undefined
  /** ms of silence after which the call fails. */
  timeoutMs: number
  /** ms after which the call fails if the answer is not complete, unless `more` grants more. */
  limitMs?: number | undefined
  /** Asked when `limitMs` is over. @returns ms to wait once more; 0 or less = fail. */
  more?: (() => number) | undefined
  maxBytes: number
}

export interface CallAnswer extends InferBody {
  status: number
  /** The code of a Scission error, if the peer named one. */
  errorCode: string | undefined
  /** True if the system has taken over the whole request, so that nothing reads the body's buffers any more. */
  allSent: boolean
  times: CallTimes
}

export interface CallTimes {
  /** ms from the start of the request to the last byte of its answer. */
  wireMs: number
  /** Bytes on the connection, including heads. */
  sentBytes: number
  receivedBytes: number
  /** True if the connection existed before. */
  reused: boolean
  /** The peer's own times, see shared/platform/transfer-times.ts. */
  serverTiming: string | string[] | undefined
}

/**
 * The observation of a link that an answered request provides.
 * @param totalMs duration of the request at its sender, writing and parsing included.
 * @returns undefined if the peer does not report its own times, or if the connection was new: setting up a connection is
 * not part of the cost of a message.
 */
export function observationOf(
  { times, arrival }: Pick<CallAnswer, 'times' | 'arrival'>,
  totalMs: number,
): Observation | undefined {
  const peer = times.reused ? readServerTiming(times.serverTiming) : undefined
  if (!peer) return undefined
  const { workMs, ...sent } = peer
  return {
    sent: { bytes: times.sentBytes, ...sent },
    received: { bytes: times.receivedBytes, ...arrival },
    wireMs: times.wireMs,
    totalMs,
    workMs,
  }
}

export class CallTimeout extends Error {
  /** ms from the start of the call. */
  readonly waitedMs: number

  constructor(waitedMs: number) {
    super(`no answer for ${Math.round(waitedMs)} ms`)
    this.waitedMs = waitedMs
  }
}

/** The peer closed the connection while it was idle. It did not answer the request, which can be sent again. */
class StaleConnection extends Error {}

export class Caller {
  readonly #connections: Connections
  readonly #credentials: Credentials

  /** @param credentials shown to those that calls name. */
  constructor(credentials: Credentials = NO_CREDENTIALS) {
    this.#credentials = credentials
    this.#connections = new Connections(credentials)
  }

  /** Sends a request. @throws CallTimeout; ScissionError cancelled by the signal; the socket's own error. */
  async send(call: Call): Promise<CallAnswer> {
    try {
      return await this.#once(call)
    } catch (error) {
      if (!(error instanceof StaleConnection)) throw error
      return this.#once(call)
    }
  }

  close(): void {
    this.#connections.close()
  }

  #once(call: Call): Promise<CallAnswer> {
    if (call.signal?.aborted) return Promise.reject(cancelled())
    return new Promise((resolve, reject) => {
      const authorization = call.to === undefined ? undefined : this.#credentials.authorization(call.to)
      new Exchange({ ...call, authorization }, this.#connections, resolve, reject).begin()
    })
  }
}

/** One request and its answer on one connection. */
class Exchange implements ExchangeEvents {
  readonly #call: Call & { authorization: string | undefined }
  readonly #connections: Connections
  readonly #resolve: (answer: CallAnswer) => void
  readonly #reject: (error: unknown) => void
  readonly #startedAt = performance.now()
  readonly #clock = new ArrivalClock()
  readonly #parser = new ResponseParser({
    onHead: (head) => this.#onHead(head),
    onBody: (chunk) => {
      this.#clock.add(chunk.length, performance.now())
      this.#sink?.add(chunk)
    },
  })
  readonly #onAbort = () => this.#fail(cancelled())
  #limit: NodeJS.Timeout | undefined
  #connection: Connection | undefined
  #head: ResponseHead | undefined
  #sink: BodySink | undefined
  #sentBytes = 0
  #receivedBytes = 0
  #settled = false

  constructor(
    call: Call & { authorization: string | undefined },
    connections: Connections,
    resolve: (answer: CallAnswer) => void,
    reject: (error: unknown) => void,
  ) {
    this.#call = call
    this.#connections = connections
    this.#resolve = resolve
    this.#reject = reject
  }

  begin(): void {
    const { signal, limitMs, timeoutMs } = this.#call
    if (limitMs !== undefined) this.#limit = setTimeout(() => this.#onLimit(), limitMs)
    signal?.addEventListener('abort', this.#onAbort, { once: true })
    try {
      const url = new URL(this.#call.url)
      this.#connection = this.#connections.take(url.origin, this, timeoutMs)
      this.#send(this.#connection, url)
    } catch (error) {
      this.#fail(error)
    }
  }

  #send({ socket }: Connection, url: URL): void {
    const { method, headers, body, authorization } = this.#call
    const length = body.reduce((sum, part) => sum + part.byteLength, 0)
    const head = headOf(
      method,
      url,
      authorization ? { ...headers, Authorization: authorization } : headers,
      length,
    )
    this.#sentBytes = head.length + length
    socket.cork()
    socket.write(head, 'latin1')
    for (const part of body) if (part.byteLength > 0) socket.write(part)
    socket.uncork()
  }

  onData(chunk: Buffer): void {
    if (this.#settled) return
    this.#receivedBytes += chunk.length
    try {
      const tooMany = this.#parser.add(chunk)
      if (this.#parser.done) this.#finish(tooMany === 0)
    } catch (error) {
      this.#fail(error)
    }
  }

  onGone(error: Error & { code?: string }): void {
    if (this.#settled) return
    if (this.#head && this.#parser.end()) return this.#finish(false)
    const reset = error.code === 'ECONNRESET' || error.code === 'EPIPE'
    if (this.#connection?.reused && reset && this.#receivedBytes === 0)
      return this.#fail(new StaleConnection())
    this.#fail(this.#head ? new Error('it closed the connection in the middle of its answer') : error)
  }

  onSilence(): void {
    this.#fail(new CallTimeout(performance.now() - this.#startedAt))
  }

  #onLimit(): void {
    const moreMs = this.#call.more?.() ?? 0
    if (moreMs <= 0) return this.onSilence()
    this.#limit = setTimeout(() => this.#onLimit(), Math.ceil(moreMs))
  }

  #onHead(head: ResponseHead): void {
    this.#head = head
    const { headers, length } = head
    const encoding = headers['content-encoding'] ?? 'identity'
    if (encoding !== 'identity')
      throw new ScissionError('unsupportedEncoding', `its answer is compressed (${encoding}), unasked`)
    this.#sink = openSink(headers[JSON_LENGTH_HEADER], length, this.#call)
  }

  #finish(clean: boolean): void {
    const head = this.#head
    const sink = this.#sink
    const connection = this.#connection
    if (this.#settled || !head || !sink || !connection) return
    try {
      const body = sink.end()
      const times = {
        wireMs: performance.now() - this.#startedAt,
        sentBytes: this.#sentBytes,
        receivedBytes: this.#receivedBytes,
        reused: connection.reused,
        serverTiming: head.headers[SERVER_TIMING.toLowerCase()],
      }
      // A peer may answer before it has read everything.
      const allSent = connection.socket.writableLength === 0
      this.#settle(clean && allSent && head.reusable)
      const errorCode = head.headers[ERROR_CODE.toLowerCase()]
      const { status } = head
      this.#resolve({ status, errorCode, ...body, arrival: this.#clock.arrival, times, allSent })
    } catch (error) {
      this.#fail(error)
    }
  }

  #fail(error: unknown): void {
    if (this.#settled) return
    this.#settle(false)
    this.#reject(error)
  }

  /** @param usable true if the connection can carry another exchange. */
  #settle(usable: boolean): void {
    this.#settled = true
    clearTimeout(this.#limit)
    this.#call.signal?.removeEventListener('abort', this.#onAbort)
    if (this.#connection) this.#connections.giveBack(this.#connection, usable)
  }
}

function headOf(method: string, url: URL, headers: Record<string, string>, length: number): string {
  const lines = [`${method} ${url.pathname}${url.search} HTTP/1.1`, `Host: ${url.host}`]
  for (const [name, value] of Object.entries(headers)) {
    http.validateHeaderName(name)
    http.validateHeaderValue(name, value)
    lines.push(`${name}: ${value}`)
  }
  if (method === 'POST') lines.push(`Content-Length: ${length}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}

const cancelled = () => new ScissionError('cancelled', 'the client closed the request')
