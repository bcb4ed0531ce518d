/**
 * Sends probes over one kept-alive connection, with the client that tensors are sent with, and times them. Bytes count
 * headers included: on a slow link the headers of a tiny request are a good part of its time.
 */
import { type Arrival, readServerTiming } from '../../../shared/platform/transfer-times.ts'
import { Caller, CallTimeout } from '../http/call.ts'

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

/** More than any probe. */
const MAX_ANSWER_BYTES = 1024 ** 3
const HEADERS = { 'Content-Type': 'application/octet-stream' }

export class ProbeClient {
  readonly #caller = new Caller()
  readonly #timeoutMs: number

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  /** One at a time: each then uses the connection of the one before. @throws Error why there was no 200. */
  async send(probe: Probe): Promise<ProbeTimes> {
    const call = { ...probe, headers: HEADERS, timeoutMs: this.#timeoutMs, maxBytes: MAX_ANSWER_BYTES }
    const startedAt = performance.now()
    try {
      const { status, times, arrival } = await this.#caller.send(call)
      const totalMs = performance.now() - startedAt
      if (status !== 200) throw new Error(`it answered ${status}`)
      const { sentBytes, receivedBytes, serverTiming } = times
      return { totalMs, sentBytes, receivedBytes, up: readServerTiming(serverTiming), down: arrival }
    } catch (error) {
      throw error instanceof CallTimeout ? new Error('no answer', { cause: error }) : error
    }
  }

  close(): void {
    this.#caller.close()
  }
}
