/**
 * The tensor path's own HTTP client: one exchange at a time on kept-alive connections, bodies written as views and read
 * into exactly-sized buffers. A connection that the peer closed while it was idle is replaced once: running a stage has
 * no side effects, so sending it again is harmless.
 */
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { InferBody } from '../messages/body.ts'
import { type Connection, Connections } from './connections.ts'
import { CallTimeout, Exchange, StaleConnection } from './exchange.ts'

export { CallTimeout }

export interface Call {
  method: 'GET' | 'POST'
  url: string
  headers: Record<string, string>
  body: readonly Uint8Array[]
  signal?: AbortSignal | undefined
  /** Silence of this length is an error. */
  timeoutMs: number
  /** So is an answer that is not complete by then. */
  limitMs?: number | undefined
  maxBytes: number
}

export interface CallAnswer extends InferBody {
  status: number
  /** The system has taken over the whole request: nothing reads the body's buffers any more. */
  allSent: boolean
  times: CallTimes
}

export interface CallTimes {
  /** From the start of the request to the last byte of its answer. */
  wireMs: number
  /** On the connection, heads included. */
  sentBytes: number
  receivedBytes: number
  /** On a connection that stood already. */
  reused: boolean
  /** What the peer said of its own times, see shared/platform/transfer-times.ts. */
  serverTiming: string | string[] | undefined
}

export class Caller {
  readonly #connections = new Connections()

  /** @throws CallTimeout, ScissionError cancelled (by the signal), or the socket's own error. */
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
    const { signal, limitMs, timeoutMs } = call
    if (signal?.aborted) return Promise.reject(cancelled())
    const url = new URL(call.url)
    return new Promise((resolve, reject) => {
      let connection: Connection | undefined
      const settle = (usable: boolean) => {
        clearTimeout(limit)
        signal?.removeEventListener('abort', onAbort)
        if (connection) this.#connections.giveBack(connection, usable)
      }
      const exchange = new Exchange(call, {
        done: (answer, usable) => {
          settle(usable)
          resolve(answer)
        },
        failed: (error) => {
          settle(false)
          reject(error)
        },
      })
      const onAbort = () => exchange.fail(cancelled())
      const late = () => exchange.fail(new CallTimeout())
      const limit = limitMs === undefined ? undefined : setTimeout(late, limitMs)
      signal?.addEventListener('abort', onAbort, { once: true })
      try {
        connection = this.#connections.take(url.origin, exchange, timeoutMs)
        exchange.send(connection, url)
      } catch (error) {
        exchange.fail(error)
      }
    })
  }
}

const cancelled = () => new ScissionError('cancelled', 'the client closed the request')
