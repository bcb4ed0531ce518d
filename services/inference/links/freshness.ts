/** What is known of each link, from where, and how old it is. Pure: the clock is the caller's. */
import type { Observation } from '../../../shared/platform/transfer-times.ts'
import { change, type LinkFigures } from './link-figures.ts'
import { NO_COST, type OwnCost } from './own-cost.ts'
import { Traffic } from './traffic.ts'

/** Figures are published again when one moved this much, */
const NEWS = 0.03
/** but not more often than this; and at least once per link interval while there is traffic. */
const PUBLISH_MS = 1000
/** Messages too small to show the bandwidth keep the round trip fresh; the bandwidth is believed for so many intervals. */
const BANDWIDTH_INTERVALS = 10

interface Known {
  traffic: Traffic
  /** From the last probes. */
  probed: LinkFigures | undefined
  probes: number
  probedAt: number | undefined
  /** When messages last showed the bandwidth in both directions. */
  bandwidthAt: number | undefined
  published: LinkFigures | undefined
  publishedAt: number
}

export interface Fresh {
  figures: LinkFigures
  basis: { probes: number; traffic: number }
}

export class Freshness {
  readonly #intervalMs: number
  readonly #known = new Map<string, Known>()
  #own = NO_COST

  constructor(intervalMs: number) {
    this.#intervalMs = intervalMs
  }

  /** @param own what a message costs without a link, measured with the probes. */
  probed(peer: string, figures: LinkFigures, probes: number, own: OwnCost, now: number): void {
    this.#own = own
    const known = this.#of(peer)
    known.traffic.clear()
    Object.assign(known, { probed: figures, probes, probedAt: now, published: figures, publishedAt: now })
  }

  /** @returns figures that are worth publishing, if there are. */
  observe(peer: string, observation: Observation, now: number): Fresh | undefined {
    const known = this.#of(peer)
    known.traffic.add(observation, now)
    const sinceMs = now - known.publishedAt
    if (sinceMs < PUBLISH_MS) return undefined
    const figures = known.traffic.figures(known.published ?? known.probed, now, this.#intervalMs, this.#own)
    if (!figures) return undefined
    if (known.traffic.showsBandwidth(now, this.#intervalMs)) known.bandwidthAt = now
    const old = known.published
    if (old && sinceMs < this.#intervalMs && change(old, figures) < NEWS) return undefined
    known.published = figures
    known.publishedAt = now
    return { figures, basis: { probes: known.probes, traffic: known.traffic.count } }
  }

  /** Neither probed nor passed by a message for as long as an interval; or by none that showed the bandwidth for many. */
  isStale(peer: string, now: number): boolean {
    const { probedAt = -Infinity, bandwidthAt = -Infinity, traffic } = this.#known.get(peer) ?? {}
    const lastAt = Math.max(probedAt, traffic?.lastAt ?? -Infinity)
    // The timer that asks runs once per interval: what happened right after its last run is almost as old.
    if (now - lastAt >= 0.9 * this.#intervalMs) return true
    return now - Math.max(probedAt, bandwidthAt) >= BANDWIDTH_INTERVALS * this.#intervalMs
  }

  #of(peer: string): Known {
    const known = this.#known.get(peer) ?? {
      traffic: new Traffic(),
      probed: undefined,
      probes: 0,
      probedAt: undefined,
      bandwidthAt: undefined,
      published: undefined,
      publishedAt: -Infinity,
    }
    this.#known.set(peer, known)
    return known
  }
}
