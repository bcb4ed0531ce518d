/**
 * The figures that costs are computed from: watts and prices per resource, and times of links and stages at the bounds of
 * their 95 % intervals.
 *
 * A stage predicted to take x ms lies within x ± (relative·x + fixedMs); a link's figures lie within their half-widths. A
 * plan at its upper bound has each of its parts at its own upper bound. A query's own watts and prices override those of the
 * problem, field by field.
 */
import { FIGURES, type Figures, type PlanningLink, type PlanningProfile, type Problem } from './problem.ts'

export type Confidence = 'lower' | 'median' | 'upper'

/** Least share of a bandwidth that its bound can be: a bound of 0 would make transfers infinitely long. */
const MIN_BANDWIDTH_SHARE = 0.1

/** Link figures at a bound. `fixedMs` is the round trip plus the cost per message. `upper` is the slow end. */
export function linkFigures(link: PlanningLink, confidence: Confidence) {
  const sign = { lower: -1, median: 0, upper: 1 }[confidence]
  const { uncertainty } = link
  const at = (value: number, width = 0) => Math.max(0, value + sign * width)
  const bandwidth = (value: number, width = 0) => Math.max(value * MIN_BANDWIDTH_SHARE, value - sign * width)
  return {
    fixedMs: at(link.rttMs, uncertainty?.rttMs) + at(link.perMessageMs ?? 0, uncertainty?.perMessageMs),
    bandwidthMbps: bandwidth(link.bandwidthMbps, uncertainty?.bandwidthMbps),
    returnBandwidthMbps: bandwidth(link.returnBandwidthMbps, uncertainty?.returnBandwidthMbps),
  }
}

/** ms that one byte takes at 1 Mbps: 8 bits / (10^6 bit/s) = 0.008 ms. */
const MS_PER_BYTE_AT_1_MBPS = 0.008

/**
 * Cost of crossing a link at a bound, for search: `fixedMs` per crossing, both ways and with the answer, plus
 * `msPerByte` for the request.
 */
export function crossingCost(link: PlanningLink, answerBytes: number, confidence: Confidence) {
  const { fixedMs, bandwidthMbps, returnBandwidthMbps } = linkFigures(link, confidence)
  return {
    fixedMs: fixedMs + (answerBytes * MS_PER_BYTE_AT_1_MBPS) / returnBandwidthMbps,
    msPerByte: MS_PER_BYTE_AT_1_MBPS / bandwidthMbps,
  }
}

/** A stage of x ms takes `factor`·x + `fixedMs` at the bound, before the resource's slowdown. */
export function stageBound(profile: PlanningProfile, confidence: 'median' | 'upper') {
  const { relative = 0, fixedMs = 0 } = profile.interval ?? {}
  return confidence === 'upper' ? { factor: 1 + relative, fixedMs } : { factor: 1, fixedMs: 0 }
}

/** Time at the bound of a stage of `ms`, never below 0, before the resource's slowdown. */
export function stageMsAt(
  { interval }: Pick<PlanningProfile, 'interval'>,
  ms: number,
  confidence: Confidence,
): number {
  if (!interval || confidence === 'median') return ms
  const width = interval.relative * ms + interval.fixedMs
  return confidence === 'upper' ? ms + width : Math.max(0, ms - width)
}

/** The figures that count for a query. */
export function figuresFor({ figures }: Pick<Problem, 'figures'>, query: Figures): Figures {
  return Object.fromEntries(FIGURES.map((field) => [field, query[field] ?? figures?.[field]]))
}

/** One figure of a resource; 0 if it is not given. */
export function figureOf(figures: Figures, field: keyof Figures, resource: string): number {
  const given = figures[field]
  return given && Object.hasOwn(given, resource) ? given[resource]! : 0
}

export function hasWatts({ busyWatts, idleWatts, transmitWatts }: Figures): boolean {
  return [busyWatts, idleWatts, transmitWatts].some((given) => given && Object.keys(given).length > 0)
}

export function hasPrices({ pricePerSecond, pricePerGb }: Figures): boolean {
  return [pricePerSecond, pricePerGb].some((given) => given && Object.keys(given).length > 0)
}

/**
 * Warnings about resources without figures: a missing figure counts as 0, which makes the resource look free. A resource
 * without any watts is named if others have watts, and one without any price if others have prices.
 * @returns at most one sentence on watts and one on prices.
 * @example missingFigures(problem, { busyWatts: { device: 5 } }) // ['no watts are given for cloud, edge: …']
 */
export function missingFigures(problem: Pick<Problem, 'resources' | 'figures'>, query: Figures): string[] {
  const given = figuresFor(problem, query)
  const without = (fields: readonly (keyof Figures)[]) =>
    problem.resources
      .map(({ name }) => name)
      .filter((name) => !fields.some((field) => Object.hasOwn(given[field] ?? {}, name)))
      .sort()
  const watts = hasWatts(given) ? without(['busyWatts', 'idleWatts', 'transmitWatts']) : []
  const prices = hasPrices(given) ? without(['pricePerSecond', 'pricePerGb']) : []
  return [
    ...(watts.length > 0 ? [`no watts are given for ${watts.join(', ')}: counted as 0 in every energy`] : []),
    ...(prices.length > 0
      ? [`no prices are given for ${prices.join(', ')}: counted as 0 in every price`]
      : []),
  ]
}

export function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
