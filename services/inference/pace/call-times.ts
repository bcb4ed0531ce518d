/** What requests cost beside the runs of their stages, as ms. Pure: the caller provides the time. */
import type { Spread } from '../../../shared/contracts/pace.ts'
import { median } from '../../../shared/platform/statistics.ts'
import { spreadOf, type Timed } from './pace-history.ts'

const MAX_KEPT = 500
const RECENT_MS = 180_000
/** Fewer requests say less than a message of this service to itself. */
const MIN_SERVED = 5
/** Of so many is told what is usual now. */
const LAST = 25
/** What requests cost, over what such a message costs: they carry other tensors, and meet other caches. */
const OWN_OFF = { single: 2, median: 1.6 }

export class CallTimes {
  #served: Timed[] = []
  #ownMs: number | undefined

  /** @param ms of a message of this service to itself. */
  own(ms: number): void {
    if (ms > 0) this.#ownMs = ms
  }

  /** @param ms from the end of the request's body to its answer, without the run of the stage and without later hops. */
  served(ms: number, atMs: number): void {
    if (!(ms > 0)) return
    this.#served.push({ atMs, ms })
    if (this.#served.length > MAX_KEPT) this.#served = this.#served.slice(-MAX_KEPT)
  }

  /** What the last requests typically cost; undefined if nothing is known. */
  get usualMs(): number | undefined {
    return this.#served.length < MIN_SERVED
      ? this.#ownMs
      : median(this.#served.slice(-LAST).map(({ ms }) => ms))
  }

  /** Of the last minutes, or of whatever was served last; undefined if nothing is known. */
  spread(nowMs: number): Spread | undefined {
    const recent = this.#served.filter(({ atMs }) => nowMs - atMs <= RECENT_MS)
    const known = recent.length >= MIN_SERVED ? recent : this.#served
    if (known.length >= MIN_SERVED) return spreadOf(known)
    const ms = this.#ownMs
    if (ms === undefined) return undefined
    return {
      median: ms,
      low: ms / OWN_OFF.single,
      high: ms * OWN_OFF.single,
      medianLow: ms / OWN_OFF.median,
      medianHigh: ms * OWN_OFF.median,
    }
  }
}
