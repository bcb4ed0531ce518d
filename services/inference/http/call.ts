/**
 * The tensor path's own HTTP client: node:http on kept-alive connections, bodies written as views and read into
 * exactly-sized buffers. A connection that the peer closed while it was idle is replaced once: running a stage has
 * no side effects, so sending it again is harmless.
 */
import http from 'node:http'
import https from 'node:https'
import { ScissionError } from '../../../shared/errors.ts'
import { type InferBody, readBody } from './body.ts'
import { asBuffer } from './send.ts'

export interface Call {
  method: 'GET' | 'POST'
  url: string
  headers: Record<string, string>
  body: readonly Uint8Array[]
  signal?: AbortSignal | undefined
  /** Silence of this length is an error. */
  timeoutMs: number
  maxBytes: number
}

export interface CallAnswer extends InferBody {
  status: number
}

export class CallTimeout extends Error {}

export class Caller {
  readonly #http = new http.Agent({ keepAlive: true, noDelay: true, scheduling: 'lifo' })
  readonly #https = new https.Agent({ keepAlive: true, noDelay: true, scheduling: 'lifo' })

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
    this.#http.destroy()
    this.#https.destroy()
  }

  #once(call: Call): Promise<CallAnswer> {
    const url = new URL(call.url)
    const secure = url.protocol === 'https:'
    const length = call.body.reduce((sum, part) => sum + part.byteLength, 0)
    const request = (secure ? https : http).request(url, {
      method: call.method,
      agent: secure ? this.#https : this.#http,
      headers: { ...call.headers, ...(call.method === 'POST' && { 'Content-Length': length }) },
    })
    return new Promise((resolve, reject) => {
      const onAbort = () => request.destroy(new ScissionError('cancelled', 'the client closed the request'))
      if (call.signal?.aborted) onAbort()
      call.signal?.addEventListener('abort', onAbort, { once: true })
      const settled = () => call.signal?.removeEventListener('abort', onAbort)
      request.setTimeout(call.timeoutMs, () => request.destroy(new CallTimeout()))
      request.once('error', (error) => {
        settled()
        reject(isStale(request, error) ? new StaleConnection() : error)
      })
      request.once('response', (response) => {
        readBody(response, { maxBytes: call.maxBytes, idleMs: call.timeoutMs })
          .then(
            (body) => resolve({ status: response.statusCode ?? 0, ...body }),
            (error: unknown) => reject(call.signal?.aborted ? error : brokenAnswer(error)),
          )
          .finally(settled)
      })
      request.cork()
      for (const part of call.body) request.write(asBuffer(part))
      request.end()
    })
  }
}

/** To a reader of bodies a sender that leaves has cancelled; here it is the one that was asked. */
function brokenAnswer(error: unknown): unknown {
  const left = error instanceof ScissionError && error.code === 'cancelled'
  return left ? new Error('it closed the connection in the middle of its answer') : error
}

class StaleConnection extends Error {}

function isStale(request: http.ClientRequest, error: Error & { code?: string }): boolean {
  return request.reusedSocket && (error.code === 'ECONNRESET' || error.code === 'EPIPE')
}
