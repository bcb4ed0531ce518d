/**
 * Sends probes over one kept-alive connection and times them. Bytes are counted on the socket, headers included: on a
 * slow link the headers of a tiny request are a good part of its time.
 */
import http from 'node:http'
import https from 'node:https'
import {
  type Arrival,
  ArrivalClock,
  readServerTiming,
  SERVER_TIMING,
} from '../../../shared/platform/transfer-times.ts'
import { ByteCount } from './byte-count.ts'

export interface Probe {
  method: 'GET' | 'POST'
  url: string
  body: readonly Uint8Array[]
}

export interface ProbeTimes {
  /** From the request's start to the end of its answer. */
  totalMs: number
  sentBytes: number
  receivedBytes: number
  /** How the bodies came in there, if the peer tells, and here. */
  up: Arrival | undefined
  down: Arrival
}

export class ProbeClient {
  readonly #http = new http.Agent({ keepAlive: true, noDelay: true, maxSockets: 1 })
  readonly #https = new https.Agent({ keepAlive: true, noDelay: true, maxSockets: 1 })
  readonly #timeoutMs: number

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  /** @throws Error why there was no answer, or another one than 200. */
  send(probe: Probe): Promise<ProbeTimes> {
    const url = new URL(probe.url)
    const secure = url.protocol === 'https:'
    const length = probe.body.reduce((sum, part) => sum + part.byteLength, 0)
    return new Promise((resolve, reject) => {
      const startedAt = performance.now()
      const request = (secure ? https : http).request(url, {
        method: probe.method,
        agent: secure ? this.#https : this.#http,
        headers: {
          'Content-Type': 'application/octet-stream',
          ...(probe.method === 'POST' && { 'Content-Length': length }),
        },
      })
      const count = new ByteCount(request)
      request.setTimeout(this.#timeoutMs, () => request.destroy(new Error('no answer')))
      request.once('error', reject)
      request.once('response', (response) => {
        const clock = new ArrivalClock()
        response.on('data', (piece: Buffer) => clock.add(piece.length, performance.now()))
        response.on('error', reject)
        response.on('aborted', () =>
          reject(new Error('it closed the connection in the middle of its answer')),
        )
        response.on('end', () => {
          const totalMs = performance.now() - startedAt
          if (response.statusCode !== 200) return reject(new Error(`it answered ${response.statusCode}`))
          const bytes = { sentBytes: count.sent, receivedBytes: count.received }
          const up = readServerTiming(response.headers[SERVER_TIMING.toLowerCase()])
          resolve({ totalMs, ...bytes, up, down: clock.arrival })
        })
      })
      request.cork()
      for (const part of probe.body) request.write(part)
      request.end()
    })
  }

  close(): void {
    this.#http.destroy()
    this.#https.destroy()
  }
}
