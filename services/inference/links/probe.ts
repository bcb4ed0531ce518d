/** One probe of a link: a request with a body, or for one, that is timed. */
import { randomFillSync } from 'node:crypto'
import type { Shown } from '../../../shared/platform/credentials.ts'
import { type Arrival, readServerTiming } from '../../../shared/platform/transfer-times.ts'
import { type Call, Caller, CallTimeout } from '../http/call.ts'
import { PROBE_TIMEOUT_MS } from './ping-series.ts'
import type { OnAnswer } from './pinger.ts'
import type { Stops } from './stop-clock.ts'

/** Bytes of the smallest payload. */
export const FIRST_BYTES = 12 * 1024
/** For one probe as a whole: 12 KiB at 2 kbit/s. All links wait for the slowest to be measured, so that none may take for ever. */
const PROBE_LIMIT_MS = 60_000
/** More than any probe. */
const MAX_ANSWER_BYTES = 1024 ** 3
const HEADERS = { 'Content-Type': 'application/octet-stream' }
/** A probe during which a machine was stopped is sent again, so often: right after a stop the quota is new. */
const TRIES = 3

/** Random, so that nothing on the way can compress it. */
const noise = randomFillSync(new Uint8Array(FIRST_BYTES))

/** Bytes count headers included: on a slow link the headers of a tiny request are a good part of its time. */
export interface ProbeTimes {
  /** Bytes of the payload. */
  size: number
  /** From the request's start to the end of its answer, less the time for which this process was stopped. */
  totalMs: number
  sentBytes: number
  receivedBytes: number
  /** How the bodies came in there, if the peer tells, and here. */
  up: Arrival | undefined
  down: Arrival
  /** True if a machine at one end used up its quota of CPU time meanwhile: how its pieces came in shows nothing. */
  stopped: boolean
}

type Times = Omit<ProbeTimes, 'size' | 'stopped'>

/** Sends a probe of so many bytes. @throws Error why there was no answer with status 200. */
export type Send = (bytes: number) => Promise<ProbeTimes>

export class Prober {
  // One probe at a time: each then uses the connection of the one before.
  readonly #caller: Caller
  readonly #url: string
  readonly #stops: Stops
  readonly #to: string | undefined
  readonly #onAnswer: OnAnswer
  /** Stops of the peer's group, as it told last; undefined if it has no quota. */
  #stopsThere: number | undefined

  /** @param stops of this process. @param onAnswer given the `Server-Timing` of each answer; it may refuse it. */
  constructor(url: string, stops: Stops, onAnswer: OnAnswer, shown?: Shown) {
    this.#caller = new Caller(shown?.credentials)
    this.#to = shown?.to
    this.#url = url
    this.#stops = stops
    this.#onAnswer = onAnswer
  }

  /** Sends so many bytes. */
  readonly up: Send = (bytes) => this.#unstopped(() => this.#up(bytes))

  /** Asks for so many bytes. */
  readonly down: Send = (bytes) => this.#unstopped(() => this.#down(bytes))

  close(): void {
    this.#caller.close()
  }

  /** @returns the last of its runs, if a machine was stopped in each. */
  async #unstopped(send: () => Promise<ProbeTimes>): Promise<ProbeTimes> {
    let times = await send()
    for (let tries = 1; tries < TRIES && times.stopped; tries += 1) times = await send()
    return times
  }

  #up(bytes: number): Promise<ProbeTimes> {
    return this.#watched(bytes, () => this.#send({ method: 'POST', url: this.#url, body: payload(bytes) }))
  }

  #down(bytes: number): Promise<ProbeTimes> {
    return this.#watched(bytes, async () => {
      const times = await this.#send({ method: 'GET', url: `${this.#url}?bytes=${bytes}`, body: [] })
      // Its answer begins before its bytes: a further one tells whether it was stopped while it sent them.
      if (this.#stopsThere !== undefined)
        await this.#send({ method: 'POST', url: this.#url, body: payload(1) })
      return times
    })
  }

  async #watched(size: number, send: () => Promise<Times>): Promise<ProbeTimes> {
    const [here, there] = [this.#stops.count, this.#stopsThere]
    const times = await send()
    const stopped = this.#stops.count !== here || (there !== undefined && this.#stopsThere !== there)
    return { ...times, size, stopped }
  }

  async #send(call: Pick<Call, 'method' | 'url' | 'body'>): Promise<Times> {
    const limits = { timeoutMs: PROBE_TIMEOUT_MS, limitMs: PROBE_LIMIT_MS, maxBytes: MAX_ANSWER_BYTES }
    const startedAt = performance.now()
    const { stoppedMs } = this.#stops
    try {
      const { status, times, arrival } = await this.#caller.send({
        ...call,
        ...limits,
        to: this.#to,
        headers: HEADERS,
      })
      const totalMs = performance.now() - startedAt - (this.#stops.stoppedMs - stoppedMs)
      if (status !== 200) throw new Error(`it answered ${status}`)
      this.#onAnswer(times.serverTiming)
      const up = readServerTiming(times.serverTiming)
      if (up) this.#stopsThere = up.stops
      const { sentBytes, receivedBytes } = times
      return { totalMs, sentBytes, receivedBytes, up, down: arrival }
    } catch (error) {
      throw error instanceof CallTimeout ? new Error('no answer', { cause: error }) : error
    }
  }
}

function payload(bytes: number): Uint8Array[] {
  const whole = Array.from({ length: Math.floor(bytes / noise.length) }, () => noise)
  return [...whole, noise.subarray(0, bytes % noise.length)]
}
