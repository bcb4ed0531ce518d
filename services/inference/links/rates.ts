/** The bandwidth of a link by how the pieces of bodies arrived. Pure. */
import type { Arrival } from '../../../shared/platform/transfer-times.ts'
import { median, sum } from '../../../shared/platform/statistics.ts'
import { studentT } from '../../../shared/platform/student.ts'
import { type Estimate, measuredBandwidth } from './estimate-link.ts'

/** A body shows the bandwidth only if at least this much follows its first piece, and takes at least this long. */
const MIN_REST_BYTES = 8 * 1024
const MIN_REST_MS = 5
/** Fewer bodies show no bandwidth. */
const MIN_COUNT = 5
/** Even pieces that are read at once are off by this much: the reader wakes, and slices of data end between two pieces. */
const WAKE_MS = 0.3
/** Smallest relative half-width of a rate: pieces are delayed or merged in all messages alike, which samples do not show. */
const MIN_RELATIVE = 0.01
/** So many bodies count alike, however sure one is: one whose sender stalled can be sure of a wrong rate. */
const LIKE_COUNT = 3

/** True if the body shows the bandwidth by how its pieces arrived. */
const showsBandwidth = ({ restBytes, slope }: Arrival): boolean =>
  restBytes >= MIN_REST_BYTES && restBytes * slope >= MIN_REST_MS

interface Rate {
  /** ms per byte. */
  rate: number
  /** How far off it may be, as a share. */
  doubt: number
}

/**
 * The bandwidth in Mbit/s that bodies show; undefined if fewer than `minCount` of them do. It is the median of their rates,
 * weighted by how little each was disturbed. Its half-width is what disturbed them, or what their scatter tells, whichever is
 * more: a machine may disturb all of them alike, so that many are not surer than one, and a link may vary by itself.
 */
export function shownBandwidth(arrivals: readonly Arrival[], minCount = MIN_COUNT): Estimate | undefined {
  const bodies = arrivals.filter(showsBandwidth)
  if (bodies.length < Math.max(1, minCount)) return undefined
  const shown = ratesOf(bodies)
  const rate = weightedMedian(shown)
  const disturbed = sum(shown.map(({ doubt }) => 1 / doubt)) / sum(shown.map(weightOf))
  return measuredBandwidth(rate, Math.max(MIN_RELATIVE, disturbed, scatterOf(shown, rate)))
}

function ratesOf(bodies: readonly Arrival[]): Rate[] {
  // By its own rate a body that went wild would look long, and sure.
  const usual = median(bodies.map(({ slope }) => slope))
  const doubts = bodies.map(({ restBytes, lateMs }) => (WAKE_MS + lateMs) / (restBytes * usual))
  const least = doubts.toSorted((a, b) => a - b)[Math.min(LIKE_COUNT, doubts.length) - 1] ?? 0
  return bodies.map(({ slope }, at) => ({ rate: slope, doubt: Math.max(least, doubts[at] ?? least) }))
}

const weightOf = ({ doubt }: Rate) => doubt ** -2

function weightedMedian(shown: readonly Rate[]): number {
  const ascending = shown.toSorted((a, b) => a.rate - b.rate)
  const half = sum(ascending.map(weightOf)) / 2
  let passed = 0
  return ascending.find((one) => (passed += weightOf(one)) >= half)?.rate ?? 0
}

/** Relative half-width of the weighted mean, from how far the rates lie apart. */
function scatterOf(shown: readonly Rate[], middle: number): number {
  const freedom = shown.length - 1
  if (freedom === 0) return 0
  const squares = shown.map((one) => weightOf(one) * (one.rate / middle - 1) ** 2)
  return studentT(freedom, 2) * Math.sqrt(sum(squares) / sum(shown.map(weightOf)) / freedom)
}
