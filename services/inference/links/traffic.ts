/**
 * The figures of a link from messages that crossed it anyway. One message tells all four: each receiver says how fast
 * its pieces came in, which is the bandwidth in that direction; what is left of the whole time, the peer's own work, the
 * transfers and what a message costs here taken off, is the round trip.
 */
import type { Arrival, Observation, TransferTimes } from '../../../shared/platform/transfer-times.ts'
import {
  bandwidthOfRates,
  type Estimate,
  roundTrip,
  transferMs,
  typical,
  withDoubt,
} from './estimate-link.ts'
import type { LinkFigures } from './link-figures.ts'
import { doubtOf, type OwnCost } from './own-cost.ts'

/** As many messages as are looked at: enough for a median, few enough to follow a change. */
const KEPT = 20
/** Fewer say nothing. */
const ENOUGH = 5
/** A body whose rest is shorter, or arrives faster, does not show the bandwidth. */
const LEAST_BYTES = 8 * 1024
const LEAST_MS = 5

interface Seen extends Observation {
  at: number
}

export class Traffic {
  #seen: Seen[] = []

  /** @param now milliseconds on any steady clock, the same as in `figures`. */
  add(observation: Observation, now: number): void {
    this.#seen.push({ ...observation, at: now })
    if (this.#seen.length > KEPT) this.#seen.shift()
  }

  /** What was seen before is older than what has just been measured. */
  clear(): void {
    this.#seen = []
  }

  get count(): number {
    return this.#seen.length
  }

  /** When the last message passed. */
  get lastAt(): number | undefined {
    return this.#seen.at(-1)?.at
  }

  /** Whether messages of the last `maxAgeMs` show how fast bytes go, there and back. */
  showsBandwidth(now: number, maxAgeMs: number): boolean {
    const recent = this.#seen.filter((seen) => now - seen.at <= maxAgeMs)
    return [recent.map(({ sent }) => sent), recent.map(({ received }) => received)].every(
      (transfers) => shown(transfers) !== undefined,
    )
  }

  /**
   * @param before takes the place of a bandwidth that these messages are too small to show.
   * @param maxAgeMs older messages do not count.
   * @param own what a message costs without a link.
   * @returns undefined with too few messages, or when a bandwidth is known from nowhere.
   */
  figures(
    before: LinkFigures | undefined,
    now: number,
    maxAgeMs: number,
    own: OwnCost,
  ): LinkFigures | undefined {
    const recent = this.#seen.filter((seen) => now - seen.at <= maxAgeMs)
    if (recent.length < ENOUGH) return undefined
    const bandwidthMbps = shown(recent.map((seen) => seen.sent)) ?? before?.bandwidthMbps
    const returnBandwidthMbps = shown(recent.map((seen) => seen.received)) ?? before?.returnBandwidthMbps
    if (!bandwidthMbps || !returnBandwidthMbps) return undefined
    // A message's own rate where it shows one: when the link has just changed, the median is not yet that of all.
    const duration = (transfer: TransferTimes, mbps: number) =>
      shows(transfer) ? transfer.bytes * transfer.slope : transferMs(transfer.bytes, mbps)
    const without = (ms: number, { sent, received }: Seen) =>
      ms - duration(sent, bandwidthMbps.value) - duration(received, returnBandwidthMbps.value)
    const wire = recent.map((seen) => Math.max(0, without(seen.wireMs - seen.workMs, seen) - own.message.ms))
    const rttMs = withDoubt(roundTrip(wire), doubtOf(own.message))
    const beyond = typical(recent.map((seen) => without(seen.totalMs - seen.workMs, seen) - rttMs.value))
    const perMessageMs = { value: Math.max(0, beyond.value), halfWidth: beyond.halfWidth }
    return { rttMs, bandwidthMbps, returnBandwidthMbps, perMessageMs }
  }
}

export const shows = ({ restBytes, slope }: Arrival) =>
  restBytes >= LEAST_BYTES && restBytes * slope >= LEAST_MS

/** The bandwidth that bodies show by how their pieces came in; undefined when too few of them do. */
export function shown(transfers: readonly Arrival[], enough = ENOUGH): Estimate | undefined {
  const rates = transfers.filter(shows).map(({ slope }) => slope)
  return rates.length >= enough ? bandwidthOfRates(rates) : undefined
}
