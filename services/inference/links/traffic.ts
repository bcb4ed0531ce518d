/**
 * Estimates the figures of a link from inference messages that crossed it. One message shows all four: each receiver
 * reports how fast the pieces arrived, which is the bandwidth in that direction. Subtracting the peer's work, the
 * transfers and the cost of a message without a link from the total time leaves the round trip.
 */
import type { Arrival, Observation, TransferTimes } from '../../../shared/platform/transfer-times.ts'
import {
  bandwidthOfRates,
  type Estimate,
  type LinkFigures,
  roundTrip,
  transferMs,
  typical,
  withDoubt,
} from './estimate-link.ts'
import { doubtOf, type OwnCost } from './own-cost.ts'

/** Number of latest messages that count: enough for a median, few enough to follow a change. */
const MAX_MESSAGE_COUNT = 20
/** Fewer messages give no estimate. */
const MIN_MESSAGE_COUNT = 5
/** A body shows the bandwidth only if at least this much follows its first piece, and takes at least this long. */
const MIN_REST_BYTES = 8 * 1024
const MIN_REST_MS = 5

interface Seen extends Observation {
  at: number
}

export class Traffic {
  #seen: Seen[] = []

  /** @param now ms of a monotonic clock, the same clock as in `figures`. */
  add(observation: Observation, now: number): void {
    this.#seen.push({ ...observation, at: now })
    if (this.#seen.length > MAX_MESSAGE_COUNT) this.#seen.shift()
  }

  /** Forgets all messages: probes have just measured the link. */
  clear(): void {
    this.#seen = []
  }

  get count(): number {
    return this.#seen.length
  }

  /** Time of the last message. */
  get lastAt(): number | undefined {
    return this.#seen.at(-1)?.at
  }

  /** True if messages of the last `maxAgeMs` show the bandwidth in both directions. */
  showsBandwidth(now: number, maxAgeMs: number): boolean {
    const recent = this.#seen.filter((seen) => now - seen.at <= maxAgeMs)
    return [recent.map(({ sent }) => sent), recent.map(({ received }) => received)].every(
      (transfers) => shownBandwidth(transfers) !== undefined,
    )
  }

  /**
   * The figures of the link.
   * @param before provides a bandwidth if the messages are too small to show it.
   * @param maxAgeMs older messages do not count.
   * @param own cost of a message without a link.
   * @returns undefined if there are too few messages or a bandwidth is unknown.
   */
  figures(
    before: LinkFigures | undefined,
    now: number,
    maxAgeMs: number,
    own: OwnCost,
  ): LinkFigures | undefined {
    const recent = this.#seen.filter((seen) => now - seen.at <= maxAgeMs)
    if (recent.length < MIN_MESSAGE_COUNT) return undefined
    const bandwidthMbps = shownBandwidth(recent.map((seen) => seen.sent)) ?? before?.bandwidthMbps
    const returnBandwidthMbps =
      shownBandwidth(recent.map((seen) => seen.received)) ?? before?.returnBandwidthMbps
    if (!bandwidthMbps || !returnBandwidthMbps) return undefined
    // The own rate of a message if it shows one: just after a change of the link the median still lags.
    const duration = (transfer: TransferTimes, mbps: number) =>
      showsBandwidth(transfer) ? transfer.bytes * transfer.slope : transferMs(transfer.bytes, mbps)
    const without = (ms: number, { sent, received }: Seen) =>
      ms - duration(sent, bandwidthMbps.value) - duration(received, returnBandwidthMbps.value)
    const wire = recent.map((seen) => Math.max(0, without(seen.wireMs - seen.workMs, seen) - own.message.ms))
    const rttMs = withDoubt(roundTrip(wire), doubtOf(own.message))
    const beyond = typical(recent.map((seen) => without(seen.totalMs - seen.workMs, seen) - rttMs.value))
    const perMessageMs = { value: Math.max(0, beyond.value), halfWidth: beyond.halfWidth }
    return { rttMs, bandwidthMbps, returnBandwidthMbps, perMessageMs }
  }
}

/** True if the body shows the bandwidth by how its pieces arrived. */
const showsBandwidth = ({ restBytes, slope }: Arrival) =>
  restBytes >= MIN_REST_BYTES && restBytes * slope >= MIN_REST_MS

/** The bandwidth that bodies show by how their pieces arrived; undefined if fewer than `minCount` of them do. */
export function shownBandwidth(
  transfers: readonly Arrival[],
  minCount = MIN_MESSAGE_COUNT,
): Estimate | undefined {
  const rates = transfers.filter(showsBandwidth).map(({ slope }) => slope)
  return rates.length >= minCount ? bandwidthOfRates(rates) : undefined
}
