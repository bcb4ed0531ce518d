/** The figures of one link, estimated from probes or from traffic. */
import type { Link } from '../../../shared/contracts/resource.ts'
import type { Estimate } from './estimate-link.ts'

export interface LinkFigures {
  rttMs: Estimate
  bandwidthMbps: Estimate
  returnBandwidthMbps: Estimate
  perMessageMs: Estimate
}

type Figures = Pick<Link, 'rttMs' | 'bandwidthMbps' | 'returnBandwidthMbps' | 'perMessageMs' | 'uncertainty'>

/** The figures in the form of a `Link` document. */
export function published(figures: LinkFigures): Figures {
  const { rttMs, bandwidthMbps, returnBandwidthMbps, perMessageMs } = figures
  return {
    rttMs: rttMs.value,
    bandwidthMbps: bandwidthMbps.value,
    returnBandwidthMbps: returnBandwidthMbps.value,
    perMessageMs: perMessageMs.value,
    uncertainty: {
      rttMs: rttMs.halfWidth,
      bandwidthMbps: bandwidthMbps.halfWidth,
      returnBandwidthMbps: returnBandwidthMbps.halfWidth,
      perMessageMs: perMessageMs.halfWidth,
    },
  }
}

/** The largest relative change of a figure. The change of a time is relative to the fixed cost of a message. */
export function largestChange(before: LinkFigures, after: LinkFigures): number {
  const fixed = (figures: LinkFigures) => figures.rttMs.value + figures.perMessageMs.value
  const moved = (a: number, b: number, scale = a) => Math.abs(b - a) / Math.max(scale, 0.01)
  return Math.max(
    moved(before.rttMs.value, after.rttMs.value, fixed(before)),
    moved(fixed(before), fixed(after)),
    moved(before.bandwidthMbps.value, after.bandwidthMbps.value),
    moved(before.returnBandwidthMbps.value, after.returnBandwidthMbps.value),
  )
}
