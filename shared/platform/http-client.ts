/**
 * The HTTP client for bytes that are read as a stream: weights, sub-models, samples. It wraps undici with one limit for
 * silence and with error messages for users. Typed JSON between services uses shared/client. Tensors use
 * services/inference/http, which is faster; its module note has the measurement.
 */
import type { Socket } from 'node:net'
import { Agent, buildConnector, errors, request } from 'undici'
import { checkedLookup, refuseAddress } from './checked-lookup.ts'
import { waitWithin } from './deadline.ts'
import { coerceError } from './errors.ts'
import { CLIENT_IDLE_MS } from './idle-connections.ts'
import { authorizationHeader, type Shown } from './credentials.ts'

export interface HttpClientOptions {
  /**
   * ms after which a peer is given up: without a byte of the body, and for the connection and for the head as a whole.
   * Exact to half a second.
   */
  timeoutMs: number
  /** Maximum number of connections to one origin; further requests wait. @defaultValue unlimited */
  connections?: number
  /** Shown with every request. */
  shown?: Shown | undefined
}

export interface HttpGet {
  headers?: Record<string, string>
  signal?: AbortSignal | undefined
  /** A longer body is an error. @defaultValue 2 GiB, more than a sub-model can have */
  maxBytes?: number
}

export interface HttpResponse {
  status: number
  /** Names in lower case. */
  headers: Record<string, string | string[] | undefined>
  /** The body as it arrives, with backpressure. Stopping to read closes the connection. @throws as `get` */
  body: AsyncIterable<Buffer>
  /** Closes the connection, if nothing of the body is read. */
  discard: () => void
}

const MAX_BYTES = 2 * 1024 ** 3
/** How late undici's own limits may be. */
const SLACK_MS = 1000

export class HttpClient {
  readonly #agent: Agent
  readonly #timeoutMs: number
  readonly #shown: Shown | undefined
  /** When a byte of any answer came. */
  #movedAt = -Infinity

  constructor({ timeoutMs, connections, shown }: HttpClientOptions) {
    this.#shown = shown
    this.#timeoutMs = timeoutMs
    const connect = this.#connector()
    this.#agent = new Agent({
      connections: connections ?? null,
      connect: (options, callback) => {
        try {
          refuseAddress(options.hostname)
        } catch (error) {
          return callback(coerceError(error), null)
        }
        return connect()(options, (...made) => {
          callback(...made)
          if (made[1]) tellLateListeners(made[1])
        })
      },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      keepAliveTimeout: CLIENT_IDLE_MS,
      keepAliveMaxTimeout: CLIENT_IDLE_MS,
    })
  }

  /**
   * Resolves with the head of the answer, whatever its status. A redirection is an answer like others, and not followed.
   * @throws Error with a message for users; the signal's reason.
   */
  async get(url: string, { headers, signal, maxBytes = MAX_BYTES }: HttpGet = {}): Promise<HttpResponse> {
    signal?.throwIfAborted()
    const head = this.#watchHead()
    try {
      const all = { ...headers, ...authorizationHeader(this.#shown) }
      const either = signal ? AbortSignal.any([signal, head.signal]) : head.signal
      const asking = request(url, { dispatcher: this.#agent, headers: all, signal: either })
      // Before it has a connection, undici takes no notice of the signal (nodejs/undici#386).
      const answer = await waitWithin(asking, { signal: either }, () => either.reason)
      this.#movedAt = performance.now()
      // A reader gets the error from the iterator; without a reader it must not be unhandled.
      answer.body.on('error', () => undefined)
      return {
        status: answer.statusCode,
        headers: answer.headers,
        body: this.#read(answer.body, maxBytes),
        discard: () => answer.body.destroy(),
      }
    } catch (error) {
      throw this.#explain(error, false)
    } finally {
      head.stop()
    }
  }

  /**
   * Bounds what undici does not: an answer that is announced (1xx) again and again, and a connection that is lost and made anew
   * again and again. A request that waits for others is not given up while they get on.
   */
  #watchHead(): { signal: AbortSignal; stop: () => void } {
    const controller = new AbortController()
    const startedAt = performance.now()
    // For the connection, and for the head.
    const mostMs = 2 * this.#timeoutMs + SLACK_MS
    const timer = setInterval(() => {
      if (performance.now() - Math.max(startedAt, this.#movedAt) > mostMs)
        controller.abort(new Error(`no answer for ${2 * this.#timeoutMs} ms`))
    }, mostMs / 4)
    return { signal: controller.signal, stop: () => clearInterval(timer) }
  }

  /** Cancels all requests. */
  close(): void {
    void this.#agent.destroy(new Error('the client was closed'))
  }

  /** Anew whenever the certificates were replaced. */
  #connector(): () => buildConnector.connector {
    const tls = this.#shown?.credentials.tls
    const make = () => buildConnector({ timeout: this.#timeoutMs, lookup: checkedLookup, ...tls?.context })
    let context = tls?.context
    let connector = make()
    return () => {
      if (tls?.context !== context) {
        context = tls?.context
        connector = make()
      }
      return connector
    }
  }

  async *#read(body: AsyncIterable<unknown>, maxBytes: number): AsyncGenerator<Buffer> {
    let bytes = 0
    try {
      for await (const chunk of body as AsyncIterable<Buffer>) {
        this.#movedAt = performance.now()
        bytes += chunk.length
        if (bytes > maxBytes) throw new Error(`its answer is longer than ${maxBytes} bytes`)
        yield chunk
      }
    } catch (error) {
      throw this.#explain(error, true)
    }
  }

  /** Converts undici's errors to messages for users. @param answering true if the head of the answer had arrived. */
  #explain(error: unknown, answering: boolean): unknown {
    if (SILENCE.some((kind) => error instanceof kind))
      return new Error(`no byte for ${this.#timeoutMs} ms`, { cause: error })
    if (NOT_HTTP.some((kind) => error instanceof kind) || isUnexpected(error))
      return new Error(`its answer is not HTTP: ${error instanceof Error ? error.message : ''}`, {
        cause: error,
      })
    if (!isClosed(error)) return error
    const when = answering ? ' in the middle of its answer' : ''
    return new Error(`it closed the connection${when}`, { cause: error })
  }
}

/**
 * Tells those of a connection's end who listen only after it. undici 6 has its parser compiled when a process begins, listens to
 * no connection before that is done, and then waits for one that has ended meanwhile without a limit, as do all requests after it
 * on that connection. undici 7 looks first; it needs a later Node than we do.
 */
function tellLateListeners(socket: Socket): void {
  socket.once('close', (hadError) => {
    socket.on('newListener', (event, listener: (hadError: boolean) => void) => {
      if (event === 'close') setImmediate(() => listener.call(socket, hadError))
    })
  })
}

const SILENCE = [errors.ConnectTimeoutError, errors.HeadersTimeoutError, errors.BodyTimeoutError]
const NOT_HTTP = [errors.HTTPParserError, errors.HeadersOverflowError]

/** An answer without a request, 100 Continue, or an upgrade. */
const isUnexpected = (error: unknown) =>
  error instanceof errors.SocketError && error.message.startsWith('bad ')

const isClosed = (error: unknown) =>
  error instanceof errors.SocketError ||
  error instanceof errors.ResponseContentLengthMismatchError ||
  (error instanceof Error && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE'))
