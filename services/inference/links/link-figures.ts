/** The figures of one link, from probes or from traffic. */
import type { Link } from '../../../shared/contracts/resource.ts'
import type { Estimate } from './estimate-link.ts'

export interface LinkFigures {
  rttMs: Estimate
  bandwidthMbps: Estimate
  returnBandwidthMbps: Estimate
  perMessageMs: Estimate
}

type Figures = Pick<Link, 'rttMs' | 'bandwidthMbps' | 'returnBandwidthMbps' | 'perMessageMs' | 'uncertainty'>

/** As they are published. */
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

/** The largest relative change of a figure; that of a time is held against the whole of a message's fixed cost. */
export function change(before: LinkFigures, after: LinkFigures): number {
  const fixed = (figures: LinkFigures) => figures.rttMs.value + figures.perMessageMs.value
  const moved = (a: number, b: number, scale = a) => Math.abs(b - a) / Math.max(scale, 0.01)
  return Math.max(
    moved(before.rttMs.value, after.rttMs.value, fixed(before)),
    moved(fixed(before), fixed(after)),
    moved(before.bandwidthMbps.value, after.bandwidthMbps.value),
    moved(before.returnBandwidthMbps.value, after.returnBandwidthMbps.value),
  )
}
