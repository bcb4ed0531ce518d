/** The bandwidth of a link by how the pieces of bodies arrived. Pure. */
import type { Arrival } from '../../../shared/platform/transfer-times.ts'
import { median, sum } from '../../../shared/platform/statistics.ts'
import { asBandwidth, type Estimate, quantileInterval, SMALL_SAMPLE_FACTORS } from './estimate-link.ts'

/** A body shows the bandwidth only if at least this much follows its first piece, and takes at least this long. */
const MIN_REST_BYTES = 8 * 1024
const MIN_REST_MS = 5
/** Fewer bodies show no bandwidth. */
const MIN_COUNT = 5
/** Even pieces that are read at once are off by this much: the reader wakes, and slices of data end between two pieces. */
const WAKE_MS = 0.3
/** The line below the pieces is off by up to so many times what they are late on average. */
const LATE_FACTOR = 2
/** Smallest relative half-width of a rate: pieces are delayed or merged in all messages alike, which samples do not show. */
const MIN_RELATIVE = 0.01
/** At least so many of the least disturbed bodies count for the scatter. */
const MIN_BEST = 4

/** True if the body shows the bandwidth by how its pieces arrived. */
const showsBandwidth = ({ restBytes, slope }: Arrival): boolean =>
  restBytes >= MIN_REST_BYTES && restBytes * slope >= MIN_REST_MS

/**
 * How far off, as a share, the rate of one body may be: reading late weighs less the longer the body takes.
 * @param msPerByte what a byte usually takes: by its own rate a body that went wild would look long, and sure.
 */
const doubtOf = ({ restBytes, lateMs }: Arrival, msPerByte: number): number =>
  (WAKE_MS + LATE_FACTOR * lateMs) / (restBytes * msPerByte)

/**
 * The bandwidth in Mbit/s that bodies show; undefined if fewer than `minCount` of them do. It is the median of their rates,
 * weighted by how little each was disturbed. Its half-width is that of the scatter of the less disturbed half, or what
 * disturbed these, whichever is more: on a busy machine both grow.
 */
export function shownBandwidth(arrivals: readonly Arrival[], minCount = MIN_COUNT): Estimate | undefined {
  const bodies = arrivals.filter(showsBandwidth)
  const usual = median(bodies.map(({ slope }) => slope))
  const shown = bodies
    .map((arrival) => ({ rate: arrival.slope, doubt: doubtOf(arrival, usual) }))
    .sort((a, b) => a.doubt - b.doubt)
  if (shown.length < Math.max(1, minCount)) return undefined
  const rate = weightedMedian(shown)
  const best = shown.slice(0, Math.max(Math.min(MIN_BEST, shown.length), Math.ceil(shown.length / 2)))
  const { low, high } = quantileInterval(
    best.map((one) => one.rate),
    0.5,
  )
  const scatter = (SMALL_SAMPLE_FACTORS[best.length] ?? 1) * Math.max(high / rate - 1, 1 - low / rate)
  const disturbed = MIN_RELATIVE + median(best.map(({ doubt }) => doubt)) / Math.sqrt(shown.length)
  return asBandwidth(rate, Math.max(scatter, disturbed))
}

function weightedMedian(shown: readonly { rate: number; doubt: number }[]): number {
  const ascending = shown.toSorted((a, b) => a.rate - b.rate)
  const weight = ({ doubt }: { doubt: number }) => doubt ** -2
  const half = sum(ascending.map(weight)) / 2
  let passed = 0
  return ascending.find((one) => (passed += weight(one)) >= half)?.rate ?? 0
}
