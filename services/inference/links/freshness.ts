/** The latest figures of each link, their source and their age. Pure: the caller provides the time. */
import type { Observation } from '../../../shared/platform/transfer-times.ts'
import { largestChange, type LinkFigures } from './estimate-link.ts'
import { NO_COST, type OwnCost } from './own-cost.ts'
import type { Ping } from './pinger.ts'
import { Traffic } from './traffic.ts'

/** Relative change of a figure from which on figures are published before the link interval is over. */
const MIN_CHANGE = 0.03
/** Shortest time between two publications. */
const MIN_PUBLISH_MS = 1000
/** A bandwidth counts as fresh for this many link intervals: small messages refresh the round trip only. */
const MAX_BANDWIDTH_AGE_INTERVALS = 10

/** While messages pass, a few pings are sent so many times per interval. */
const PINGS_PER_INTERVAL = 4
/** Shortest time between two series of pings, if the messages say that the link has changed. */
const MIN_PING_PAUSE_MS = 2000

class LinkState {
  readonly traffic = new Traffic()
  /** Figures of the last probes. */
  probed: LinkFigures | undefined
  probes = 0
  probedAt: number | undefined
  /** Time at which messages last showed the bandwidth in both directions. */
  bandwidthAt: number | undefined
  published: LinkFigures | undefined
  publishedAt = -Infinity
  /** Time at which pings were last asked for, or probes sent them. */
  pingedAt = -Infinity
  /** True if the messages and what was known cannot both be true. */
  contradicted = false
}

export class Freshness {
  readonly #intervalMs: number
  readonly #known = new Map<string, LinkState>()
  #own = NO_COST

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
  }

  /** Records the result of probes. @param own cost of a message without a link, measured at the same time. */
  probed(peer: string, figures: LinkFigures, probes: number, own: OwnCost, now: number): void {
    this.#own = own
    const known = this.#of(peer)
    known.traffic.clear()
    Object.assign(known, { probed: figures, probes, probedAt: now, published: figures, publishedAt: now })
    Object.assign(known, { pingedAt: now, contradicted: false })
  }

  /**
   * True if pings should be sent now, beside the messages: these alone cannot tell a long round trip from a low bandwidth.
   * Asks for one series: the next call is false until it is time again.
   */
  wantsPings(peer: string, now: number): boolean {
    const known = this.#of(peer)
    const pause = known.contradicted ? MIN_PING_PAUSE_MS : this.#intervalMs / PINGS_PER_INTERVAL
    if (now - known.pingedAt < pause) return false
    known.pingedAt = now
    return true
  }

  pinged(peer: string, pings: readonly Ping[], now: number): void {
    this.#of(peer).traffic.addPings(pings, now)
  }

  /** Records a message that crossed the link. @returns figures to publish and what they rest on, if they are due. */
  observe(peer: string, observation: Observation, now: number) {
    const known = this.#of(peer)
    known.traffic.add(observation, now)
    const sinceMs = now - known.publishedAt
    if (sinceMs < MIN_PUBLISH_MS) return undefined
    const found = known.traffic.figures(known.published ?? known.probed, now, this.#intervalMs, this.#own)
    if (!found) return undefined
    const { contradicted, ...figures } = found
    known.contradicted = contradicted
    if (known.traffic.showsBandwidth(now, this.#intervalMs)) known.bandwidthAt = now
    const old = known.published
    if (old && sinceMs < this.#intervalMs && largestChange(old, figures) < MIN_CHANGE) return undefined
    known.published = figures
    known.publishedAt = now
    return { figures, basis: { probes: known.probes, traffic: known.traffic.count } }
  }

  /**
   * True if the link was neither probed nor used for one interval, or if nothing has shown its bandwidth for
   * MAX_BANDWIDTH_AGE_INTERVALS.
   */
  isStale(peer: string, now: number): boolean {
    const { probedAt = -Infinity, bandwidthAt = -Infinity, traffic } = this.#known.get(peer) ?? {}
    const lastAt = Math.max(probedAt, traffic?.lastAt ?? -Infinity)
    // The timer that asks runs once per interval: an event right after its last run is almost one interval old.
    if (now - lastAt >= 0.9 * this.#intervalMs) return true
    return now - Math.max(probedAt, bandwidthAt) >= MAX_BANDWIDTH_AGE_INTERVALS * this.#intervalMs
  }

  #of(peer: string): LinkState {
    const known = this.#known.get(peer) ?? new LinkState()
    this.#known.set(peer, known)
    return known
  }
}
