/**
 * Times at the bounds of what is known about them. A stage of predicted x ms lies within x ± (relative·x + fixedMs), a
 * link's figures within their half-widths. Bounds add up: a plan at its upper bound has every part at its own.
 */
import type { Plan } from '../../contracts/plan.ts'
import type { PlanningLink, PlanningProfile } from './problem.ts'

export type Confidence = 'lower' | 'median' | 'upper'

/** A bandwidth known to less than this share of itself is taken for this share: its bound would be nothing at all. */
const LEAST_BANDWIDTH = 0.1

/** Link figures at a bound: `fixedMs` is the round trip and the cost per message. Slow is upper. */
export function linkFigures(link: PlanningLink, confidence: Confidence) {
  const sign = { lower: -1, median: 0, upper: 1 }[confidence]
  const { uncertainty } = link
  const at = (value: number, width = 0) => Math.max(0, value + sign * width)
  const bandwidth = (value: number, width = 0) => Math.max(value * LEAST_BANDWIDTH, value - sign * width)
  return {
    fixedMs: at(link.rttMs, uncertainty?.rttMs) + at(link.perMessageMs ?? 0, uncertainty?.perMessageMs),
    bandwidthMbps: bandwidth(link.bandwidthMbps, uncertainty?.bandwidthMbps),
    returnBandwidthMbps: bandwidth(link.returnBandwidthMbps, uncertainty?.returnBandwidthMbps),
  }
}

/** A stage of x ms takes `factor`·x + `fixedMs` at the bound, the machine's own speed. */
export function stageBound(profile: PlanningProfile, confidence: 'median' | 'upper') {
  const { relative = 0, fixedMs = 0 } = profile.interval ?? {}
  return confidence === 'upper' ? { factor: 1 + relative, fixedMs } : { factor: 1, fixedMs: 0 }
}

/** A stage of x ms lies within x ± (relative·x + fixedMs), and never below 0; the machine's own speed. */
export function stageMsAt(
  { interval }: Pick<PlanningProfile, 'interval'>,
  ms: number,
  confidence: Confidence,
): number {
  if (!interval || confidence === 'median') return ms
  const width = interval.relative * ms + interval.fixedMs
  return confidence === 'upper' ? ms + width : Math.max(0, ms - width)
}

/** Figures of a plan that are made of times. None of them falls when a time rises. */
export type Bounded = Pick<Plan, 'predictedMs' | 'bottleneckMs' | 'energyJ' | 'price'>

/** From the figures with every time at its lower and at its upper bound. */
export function intervalsOf(low: Bounded, high: Bounded): Pick<Plan, 'interval' | 'intervals'> {
  const between = (field: 'energyJ' | 'price') =>
    low[field] === undefined || high[field] === undefined
      ? {}
      : { [field]: { low: low[field], high: high[field] } }
  return {
    interval: { lowMs: low.predictedMs, highMs: high.predictedMs },
    intervals: {
      bottleneckMs: { low: low.bottleneckMs, high: high.bottleneckMs },
      ...between('energyJ'),
      ...between('price'),
    },
  }
}
