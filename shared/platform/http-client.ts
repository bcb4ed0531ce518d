/**
 * The HTTP client for bytes that are fetched and read as a stream: weights, sub-models, samples. Around undici it puts one
 * rule for silence and says what went wrong on the way in words that a user can be shown. Typed JSON between services
 * goes through shared/client; tensors through services/inference/http, which is quicker and says why it exists.
 */
import { Agent, errors } from 'undici'

export interface HttpClientOptions {
  /** A peer that sends no byte for this long is given up on, while connecting too; kept to half a second. */
  timeoutMs: number
  /** To one origin at most; further requests wait for one to be free. @defaultValue any number */
  connections?: number
}

export interface HttpGet {
  headers?: Record<string, string>
  signal?: AbortSignal | undefined
}

export interface HttpResponse {
  status: number
  /** Names in lower case. */
  headers: Record<string, string | string[] | undefined>
  /** The body as it comes, no faster than it is read. To stop reading closes the connection. @throws as `get` */
  body: AsyncIterable<Buffer>
  /** Closes the connection; for a body of which nothing is read. */
  discard: () => void
}

/** Servers keep an idle connection for a minute or more; one that is about to be closed is not worth the race. */
const IDLE_MS = 50_000

export class HttpClient {
  readonly #agent: Agent
  readonly #timeoutMs: number

  constructor({ timeoutMs, connections }: HttpClientOptions) {
    this.#timeoutMs = timeoutMs
    this.#agent = new Agent({
      connections: connections ?? null,
      connect: { timeout: timeoutMs },
      headersTimeout: timeoutMs,
      bodyTimeout: timeoutMs,
      keepAliveTimeout: IDLE_MS,
      keepAliveMaxTimeout: IDLE_MS,
    })
  }

  /**
   * Resolves with the head of the answer, whatever its status.
   * @throws Error that says what went wrong on the way; the signal's reason.
   */
  async get(url: string, { headers, signal }: HttpGet = {}): Promise<HttpResponse> {
    signal?.throwIfAborted()
    const { origin, pathname, search } = new URL(url)
    const request = { origin, path: `${pathname}${search}`, method: 'GET', headers, signal } as const
    try {
      const answer = await this.#agent.request(request)
      // It reaches whoever reads; a body of which nothing is read has nobody to tell.
      answer.body.on('error', () => undefined)
      return {
        status: answer.statusCode,
        headers: answer.headers,
        body: this.#read(answer.body),
        discard: () => answer.body.destroy(),
      }
    } catch (error) {
      throw this.#explain(error, false)
    }
  }

  /** Ends what is under way. */
  close(): void {
    void this.#agent.destroy(new Error('the client was closed'))
  }

  async *#read(body: AsyncIterable<unknown>): AsyncGenerator<Buffer> {
    try {
      for await (const chunk of body) yield chunk as Buffer
    } catch (error) {
      throw this.#explain(error, true)
    }
  }

  /** What undici says, in our words. @param answering the head of the answer had come. */
  #explain(error: unknown, answering: boolean): unknown {
    if (SILENCE.some((kind) => error instanceof kind))
      return new Error(`no byte for ${this.#timeoutMs} ms`, { cause: error })
    if (NOT_HTTP.some((kind) => error instanceof kind) || isUncalledFor(error))
      return new Error(`its answer is not HTTP: ${error instanceof Error ? error.message : ''}`, {
        cause: error,
      })
    if (!isClosed(error)) return error
    const when = answering ? ' in the middle of its answer' : ''
    return new Error(`it closed the connection${when}`, { cause: error })
  }
}

const SILENCE = [errors.ConnectTimeoutError, errors.HeadersTimeoutError, errors.BodyTimeoutError]
const NOT_HTTP = [errors.HTTPParserError, errors.HeadersOverflowError]

/** An answer before it was asked for, 100 Continue, or an upgrade. */
const isUncalledFor = (error: unknown) =>
  error instanceof errors.SocketError && error.message.startsWith('bad ')

const isClosed = (error: unknown) =>
  error instanceof errors.SocketError ||
  error instanceof errors.ResponseContentLengthMismatchError ||
  (error instanceof Error && 'code' in error && error.code === 'ECONNRESET')
