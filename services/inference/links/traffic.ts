/**
 * Estimates the figures of a link from inference messages that crossed it, and from a few pings between them. The pieces of
 * large messages show the bandwidth (rates.ts), the pings the round trip; the total times show the sum of both, which is
 * shared out among what is known (sums.ts).
 */
import { quantile } from '../../../shared/platform/statistics.ts'
import type { Observation } from '../../../shared/platform/transfer-times.ts'
import {
  asBandwidth,
  type Estimate,
  jitter,
  type LinkFigures,
  msPerByte,
  positive,
  roundTrip,
  typical,
} from './estimate-link.ts'
import { doubtOf, type OwnCost } from './own-cost.ts'
import type { Ping } from './pinger.ts'
import { shownBandwidth } from './rates.ts'
import { fixedOf, type TimedPing } from './round-trips.ts'
import { LinkParts, type Part, type Sum } from './sums.ts'

/** Number of latest messages that count: enough for a median, few enough to follow a change. */
const MAX_MESSAGE_COUNT = 20
/** Fewer messages give no estimate. */
const MIN_MESSAGE_COUNT = 5
/** Number of latest pings that count. */
const MAX_PING_COUNT = 40
/** Fewer messages of one size do not show how long it takes at least. */
const MIN_SAME_SIZE = 3
/** Sizes that differ by less than this share are the same. */
const SAME_SIZE = 0.05
/** Messages show a bandwidth if they leave less than this share of it uncertain. */
const CLEAR_SHARE = 0.1
/** Messages show another link if they take so much longer or shorter, as a share. */
const CLEAR_CHANGE = 0.05
/** The least share of its known time per byte that a sum can leave to a byte. */
const MIN_RATE_SHARE = 0.1

type Seen = Observation & { at: number }

/** Figures, and whether messages and what was known cannot both be true: the link may have changed. */
export interface TrafficFigures extends LinkFigures {
  contradicted: boolean
}

export class Traffic {
  #seen: Seen[] = []
  #pings: TimedPing[] = []
  /** Time at which messages last took another time than those of the same size before. */
  #changedAt = -Infinity

  /** @param now ms of a monotonic clock, the same clock as in `figures`. */
  add(observation: Observation, now: number): void {
    this.#seen.push({ ...observation, at: now })
    if (this.#seen.length > MAX_MESSAGE_COUNT) this.#seen.shift()
    const latest = this.#seen.slice(-MIN_MESSAGE_COUNT)
    if (!isOtherLink(latest, this.#seen.slice(0, -MIN_MESSAGE_COUNT))) return
    this.#seen = latest
    this.#changedAt = now
  }

  /** Pings that were sent one after another. @param now as in `add`. */
  addPings(pings: readonly Ping[], now: number): void {
    const all = [...this.#pings, ...pings.map((ping) => ({ ...ping, at: now }))]
    this.#pings = all.slice(-MAX_PING_COUNT)
  }

  /** Forgets everything: probes have just measured the link. */
  clear(): void {
    this.#seen = []
    this.#pings = []
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
    return [recent.map(({ sent }) => sent), recent.map(({ received }) => received)].every((transfers) =>
      isClear(shownBandwidth(transfers)),
    )
  }

  /**
   * The figures of the link.
   * @param before what was known; provides a part that the messages do not show.
   * @param maxAgeMs older messages and pings do not count.
   * @param own cost of a message without a link.
   * @returns undefined if there are too few messages or a bandwidth is unknown.
   */
  figures(
    before: LinkFigures | undefined,
    now: number,
    maxAgeMs: number,
    own: OwnCost,
  ): TrafficFigures | undefined {
    const recent = this.#seen.filter((seen) => now - seen.at <= maxAgeMs)
    const middle = recent[Math.floor(recent.length / 2)]
    if (!middle || recent.length < MIN_MESSAGE_COUNT) return undefined
    const there = rateOf(shownBandwidth(recent.map(({ sent }) => sent)), before?.bandwidthMbps)
    const back = rateOf(shownBandwidth(recent.map(({ received }) => received)), before?.returnBandwidthMbps)
    if (!there || !back) return undefined
    const pings = this.#pings.filter(({ at }) => now - at <= maxAgeMs)
    const fixed = fixedOf(pings, { there, back }, before?.rttMs, own, middle.at)
    const parts = new LinkParts([fixed, there, back])
    for (const sum of sumsOf(recent, parts, own)) parts.learn(sum)
    const figures = figuresOf(recent, parts, { there, back })
    return {
      ...keepDoubt(figures, before, { fixed, there, back }),
      contradicted: fixed.unsure || parts.contradicted || this.#changedAt > (pings.at(-1)?.at ?? -Infinity),
    }
  }
}

/** True if all of the latest messages took clearly longer, or shorter, than the earlier ones of their size. */
function isOtherLink(latest: readonly Seen[], before: readonly Seen[]): boolean {
  const [first] = latest
  const earlier = before.filter((seen) => first && isSameSize(first, seen))
  if (!first || earlier.length < MIN_MESSAGE_COUNT || !latest.every((seen) => isSameSize(first, seen)))
    return false
  const msOf = ({ wireMs, workMs }: Seen) => wireMs - workMs
  const [now, then] = [latest.map(msOf), earlier.map(msOf)]
  const clearly = CLEAR_CHANGE * quantile(then, 0.5)
  return Math.min(...now) > quantile(then, 0.9) + clearly || Math.max(...now) < quantile(then, 0.1) - clearly
}

function isSameSize(a: Seen, b: Seen): boolean {
  const isNear = (one: number, other: number) => Math.abs(one - other) <= SAME_SIZE * Math.max(one, other)
  return isNear(a.sent.bytes, b.sent.bytes) && isNear(a.received.bytes, b.received.bytes)
}

const unsureShare = ({ value, halfWidth }: Estimate): number => halfWidth / value
const isClear = (shown: Estimate | undefined): boolean =>
  shown !== undefined && unsureShare(shown) <= CLEAR_SHARE

/** What a busy machine hides does not replace what was known better: if that is no longer true, the whole times tell. */
function rateOf(shown: Estimate | undefined, before: Estimate | undefined): Part | undefined {
  const isBetter = shown && (isClear(shown) || !before || unsureShare(shown) < unsureShare(before))
  const bandwidth = isBetter ? shown : before
  return bandwidth && { ...msPerByte(bandwidth), old: !isBetter }
}

/** A part that messages only confirm is not surer for it: they may have been counted when it was learnt. */
function keepDoubt(
  figures: LinkFigures,
  before: LinkFigures | undefined,
  { fixed, there, back }: Record<'fixed' | 'there' | 'back', Part>,
): LinkFigures {
  const kept = (part: Part, field: 'rttMs' | 'bandwidthMbps' | 'returnBandwidthMbps'): Estimate => {
    const { value, halfWidth } = figures[field]
    return part.old && before
      ? { value, halfWidth: Math.max(halfWidth, before[field].halfWidth) }
      : figures[field]
  }
  return {
    ...figures,
    rttMs: kept(fixed, 'rttMs'),
    bandwidthMbps: kept(there, 'bandwidthMbps'),
    returnBandwidthMbps: kept(back, 'returnBandwidthMbps'),
  }
}

/** ms of a message on the link, as far as its sender can tell. */
const linkMs = ({ wireMs, workMs }: Seen, own: OwnCost) => wireMs - workMs - own.message.ms
const sizeOf = ({ sent, received }: Seen) => ({ bytes: sent.bytes, returnBytes: received.bytes })

/** One sum per size of message, the smallest first. */
function sumsOf(recent: readonly Seen[], parts: LinkParts, own: OwnCost): Sum[] {
  const classes: Seen[][] = []
  for (const seen of recent.toSorted(
    (a, b) => a.sent.bytes + a.received.bytes - b.sent.bytes - b.received.bytes,
  )) {
    const found = classes.find(([first]) => first && isSameSize(first, seen))
    if (found) found.push(seen)
    else classes.push([seen])
  }
  return classes
    .filter((some) => some.length >= MIN_SAME_SIZE)
    .map((some) => {
      const bytes = quantile(
        some.map(({ sent }) => sent.bytes),
        0.5,
      )
      const returnBytes = quantile(
        some.map(({ received }) => received.bytes),
        0.5,
      )
      const expected = parts.msOf({ bytes, returnBytes })
      // Sizes within a class differ a little: what counts is how much longer each took than is known of its own size.
      const least = roundTrip(some.map((seen) => linkMs(seen, own) - parts.msOf(sizeOf(seen))))
      const ms = { value: expected + least.value, halfWidth: least.halfWidth + doubtOf(own.message) }
      return { bytes, returnBytes, ms }
    })
}

function figuresOf(
  recent: readonly Seen[],
  parts: LinkParts,
  known: { there: Estimate; back: Estimate },
): LinkFigures {
  const { fixed, there, back } = parts.estimates
  const mbps = (rate: Estimate, before: Estimate) => {
    const value = Math.max(rate.value, MIN_RATE_SHARE * before.value)
    return asBandwidth(value, rate.halfWidth / value)
  }
  const rttMs = positive(fixed)
  const beyond = recent.map((seen) => seen.totalMs - seen.workMs - parts.msOf(sizeOf(seen)))
  const usual = typical(beyond)
  const perMessageMs = { value: Math.max(0, usual.value), halfWidth: usual.halfWidth }
  return {
    rttMs,
    bandwidthMbps: mbps(there, known.there),
    returnBandwidthMbps: mbps(back, known.back),
    perMessageMs,
    jitterMs: jitter(beyond.map((ms) => ms - usual.value)),
  }
}
