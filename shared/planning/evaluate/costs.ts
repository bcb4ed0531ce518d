/**
 * Costs of a plan of either view, from the resources that a request passes and the links that it crosses:
 *
 *   latency  = Σ stops ms · slowdown + Σ links (encoding + round trip + cost per message + bytes · 8 / bandwidth
 *              + decoding + answer bytes · 8 / return bandwidth)
 *   energy   = per resource: busy watts · (computing + coding) + transmit watts · sending + idle watts · rest of the latency
 *   price    = per resource: price per second · computing + price per 10^9 bytes · bytes sent
 *
 * (contracts/resource.ts, Link; contracts/profile.ts.) A request always enters at the source's service, which reads it,
 * passes it on and writes the answer: a source that runs no layer is charged as a stage without layers. Latency is that of
 * one request alone. With a request in each step at the same time, the slowest step sets the throughput.
 */
import type { Plan } from '../../contracts/plan.ts'
import type { FigureSource } from '../../contracts/resource.ts'
import {
  figureOf,
  hasPrices,
  hasWatts,
  linkFigures,
  stageBound,
  stageMsAt,
  type TimeConfidence,
  sum,
  layerSizesOf,
  type Figures,
  type PlanningLink,
  type PlanningProfile,
  type PlanningResource,
  type PlanningStructure,
} from '../problem/problem.ts'
import { stopsMsAt } from '../problem/quota-stops.ts'

/** A resource that a request passes: it runs a stage, or it is the source and only passes the input on. */
export interface Stop {
  resource: PlanningResource
  runsLayers: boolean
  /** What its times follow; undefined on a source without one, of which nothing is known. */
  profile: PlanningProfile | undefined
  /** Time of its layers as measured, before slowdown; 0 without layers. */
  measuredMs: number
}

/** One whose times are known. */
type TimedStop = Stop & { profile: PlanningProfile }
const isTimed = (stop: Stop): stop is TimedStop => stop.profile !== undefined

/** A link that a request crosses, between two neighbouring stops. */
export interface Crossing {
  link: PlanningLink
  /** Bytes on the wire, request direction. */
  wireBytes: number
  encodeMs: number
  decodeMs: number
}

export interface Journey {
  /** The source first. */
  stops: readonly Stop[]
  /** One fewer than stops. */
  crossings: readonly Crossing[]
  answerBytes: number
  figures: Figures
}

/** Totals of a plan that depend on times. None of them falls if a time rises. */
type TimedTotals = Pick<
  Plan,
  'computeMs' | 'relayMs' | 'transferMs' | 'predictedMs' | 'bottleneckMs' | 'energyJ' | 'price'
>

export interface JourneyCosts {
  /** Per stop, ms of compute, with what a request costs there beside. */
  stageMs: number[]
  /** Per crossing, ms on the wire: `ms` for the request, round trip included, `returnMs` for the answer. */
  wire: { ms: number; sendMs: number; returnMs: number }[]
  totals: TimedTotals
}

/** Costs with every time at its bound, as the searches have them. */
export function costsAt(journey: Journey, confidence: 'median' | 'upper'): JourneyCosts {
  const stageMs = ({ profile, measuredMs }: TimedStop) => {
    const { factor, fixedMs } = stageBound(profile, confidence)
    return factor * measuredMs + fixedMs
  }
  return costsBy(journey, { stageMs, link: () => confidence })
}

/** Each time, at the bound that is asked for. */
interface Bounds {
  /** Before the resource's slowdown. */
  stageMs: (stop: TimedStop) => number
  link: (crossing: Crossing) => TimeConfidence
}

function costsBy(journey: Journey, bounds: Bounds): JourneyCosts {
  const { stops, crossings, answerBytes, figures } = journey
  const stageMs = stops.map((stop) => (isTimed(stop) ? bounds.stageMs(stop) * stop.resource.slowdown : 0))
  const wire = crossings.map((crossing) => {
    const { link, wireBytes } = crossing
    const { fixedMs, bandwidthMbps, returnBandwidthMbps } = linkFigures(link, bounds.link(crossing))
    const sendMs = wireMs(wireBytes, bandwidthMbps)
    return { ms: fixedMs + sendMs, sendMs, returnMs: wireMs(answerBytes, returnBandwidthMbps) }
  })
  const work = stops.map(({ resource }, at): Work => {
    const departure = crossings[at]
    return {
      resource: resource.name,
      computeMs: stageMs[at]!,
      codingMs: (crossings[at - 1]?.decodeMs ?? 0) + (departure?.encodeMs ?? 0),
      sendMs: wire[at]?.sendMs ?? 0,
      sentBytes: departure?.wireBytes ?? 0,
    }
  })
  const computeMs = sum(stageMs)
  const transferMs = sum(
    crossings.map(({ encodeMs, decodeMs }, at) => encodeMs + wire[at]!.ms + decodeMs + wire[at]!.returnMs),
  )
  const predictedMs = computeMs + transferMs
  const relayMs = stops[0]?.runsLayers === false ? stageMs[0]! : 0
  const totals = {
    computeMs,
    ...(relayMs > 0 && { relayMs }),
    transferMs,
    predictedMs,
    bottleneckMs: Math.max(
      ...work.map((one) => one.computeMs + one.codingMs),
      ...wire.map(({ ms, returnMs }) => ms + returnMs),
    ),
    ...energyOf(work, predictedMs, figures),
    ...priceOf(work, figures),
  }
  return { stageMs, wire, totals }
}

/** Work of a resource for one request. */
interface Work {
  resource: string
  computeMs: number
  /** Encoding and decoding. */
  codingMs: number
  /** On the wire to the next resource, request direction. */
  sendMs: number
  sentBytes: number
}

/** Joules; none if no watts are given. */
function energyOf(work: readonly Work[], latencyMs: number, figures: Figures): { energyJ?: number } {
  if (!hasWatts(figures)) return {}
  const milliJoules = work.map(({ resource, computeMs, codingMs, sendMs }) => {
    const busyMs = computeMs + codingMs
    return (
      figureOf(figures, 'busyWatts', resource) * busyMs +
      figureOf(figures, 'transmitWatts', resource) * sendMs +
      figureOf(figures, 'idleWatts', resource) * (latencyMs - busyMs - sendMs)
    )
  })
  // Idle time is a difference: rounding can take it below 0.
  return { energyJ: Math.max(0, sum(milliJoules) / 1000) }
}

/** None if no prices are given. */
function priceOf(work: readonly Work[], figures: Figures): { price?: number } {
  if (!hasPrices(figures)) return {}
  const nano = work.map(
    ({ resource, computeMs, sentBytes }) =>
      figureOf(figures, 'pricePerSecond', resource) * computeMs * 1e6 +
      figureOf(figures, 'pricePerGb', resource) * sentBytes,
  )
  return { price: sum(nano) / 1e9 }
}

/**
 * 95 % intervals. What moves one time moves it alone: a machine's pace all stages on that machine, a quota the stages of its
 * service, a link its own transfers. So the distances that each of them makes add as squares.
 * @param confidence of the plan's figures. Those at `upper` have every time at its bound, and are the upper ends then.
 */
export function intervalsOf(
  journey: Journey,
  confidence: 'median' | 'upper',
): Pick<Plan, 'interval' | 'typicalInterval' | 'intervals' | 'moves'> {
  const middle = costsAt(journey, 'median').totals
  const low = movesTo(journey, 'lower')
  const high = movesTo(journey, 'upper')
  const typicalLow = movesTo(journey, 'typicalLower')
  const typicalHigh = movesTo(journey, 'typicalUpper')
  const atOnce = confidence === 'upper' ? costsAt(journey, 'upper').totals : undefined
  const bounds = (field: keyof TimedTotals) => ({
    low: Math.max(0, (middle[field] ?? 0) - distance(low, middle, field)),
    high: atOnce?.[field] ?? (middle[field] ?? 0) + distance(high, middle, field),
  })
  const between = (field: 'energyJ' | 'price') =>
    middle[field] === undefined ? {} : { [field]: bounds(field) }
  const { low: lowMs, high: highMs } = bounds('predictedMs')
  return {
    interval: { lowMs, highMs },
    typicalInterval: {
      lowMs: Math.max(0, middle.predictedMs - distance(typicalLow, middle, 'predictedMs')),
      highMs: middle.predictedMs + distance(typicalHigh, middle, 'predictedMs'),
    },
    intervals: { bottleneckMs: bounds('bottleneckMs'), ...between('energyJ'), ...between('price') },
    moves: high.map(({ what, totals }, at) => ({
      what,
      requestMs: (totals.predictedMs - low[at]!.totals.predictedMs) / 2,
      typicalMs: (typicalHigh[at]!.totals.predictedMs - typicalLow[at]!.totals.predictedMs) / 2,
    })),
  }
}

interface Move {
  /** A computer, a link as `device>edge`, or `quota of edge`. */
  what: string
  /** With only its times at their bounds. */
  totals: TimedTotals
}

const distance = (moves: readonly Move[], middle: TimedTotals, field: keyof TimedTotals): number =>
  Math.hypot(...moves.map(({ totals }) => (totals[field] ?? 0) - (middle[field] ?? 0)))

/** In the same order for every bound. */
function movesTo(journey: Journey, bound: TimeConfidence): Move[] {
  const { stops, crossings } = journey
  const medianOf = ({ profile, measuredMs }: TimedStop) => stageMsAt(profile, measuredMs, 'median')
  const move = (what: string, moved: Partial<Bounds>): Move => {
    const bounds: Bounds = { stageMs: medianOf, link: () => 'median', ...moved }
    return { what, totals: costsBy(journey, bounds).totals }
  }
  const timed = stops.filter(isTimed)
  const ofHosts = [...new Set(timed.map(hostOf))].map((host) => {
    const stageMs = (stop: TimedStop) =>
      hostOf(stop) === host ? stageMsAt(stop.profile, stop.measuredMs, bound) : medianOf(stop)
    return move(host, { stageMs })
  })
  const ofQuotas = timed.flatMap((stopped) => {
    const { resource, profile, measuredMs } = stopped
    if (!profile.stops) return []
    const lateMs = stopsMsAt(profile.stops, measuredMs, bound)
    const stageMs = (stop: TimedStop) => medianOf(stop) + (stop === stopped ? lateMs : 0)
    return [move(`quota of ${resource.name}`, { stageMs })]
  })
  const ofLinks = crossings.map((moved) => {
    const { from, to } = moved.link
    return move(`${from}>${to}`, { link: (crossing) => (crossing === moved ? bound : 'median') })
  })
  return [...ofHosts, ...ofQuotas, ...ofLinks]
}

/** Resources on one computer share its pace. */
const hostOf = ({ resource, profile }: TimedStop): string => profile.host ?? resource.name

/** ms that the bytes take: bits / (10^6 bit/s · bandwidth) · 1000. */
function wireMs(bytes: number, bandwidthMbps: number): number {
  return (bytes * 8) / (bandwidthMbps * 1000)
}

/** Bytes of a stage's weights, and of its memory while the largest of its layers runs. @param ranges layers [from, to). */
export function sizesOf(
  structure: PlanningStructure,
  ranges: readonly (readonly [from: number, to: number])[],
): { weightBytes: number; memoryBytes: number } {
  const { alive, weightsBefore } = layerSizesOf(structure)
  let weightBytes = 0
  let peak = 0
  for (const [from, to] of ranges) {
    weightBytes += weightsBefore[to]! - weightsBefore[from]!
    for (let layer = from; layer < to; layer += 1) if (alive[layer]! > peak) peak = alive[layer]!
  }
  return { weightBytes, memoryBytes: weightBytes + peak }
}

/**
 * True if a slowdown, a profile or a link behind the plan's numbers is emulated. A slowdown lengthens runs of layers: what
 * passing the input on costs is measured as it is.
 */
export function isEmulated({ stops, crossings }: Journey): boolean {
  const slowed = stops.some(
    ({ resource, runsLayers, profile }) =>
      runsLayers && (resource.emulated || resource.slowdown !== 1 || profile?.emulated),
  )
  return slowed || crossings.some(({ link }) => link.emulated)
}

/** Where the profiles and links behind the plan's numbers come from. A profile that does not say was measured. */
export function sourcesOf({ stops, crossings }: Journey): FigureSource[] {
  const runs = stops.filter(({ runsLayers }) => runsLayers)
  const profiles = runs.map(({ profile }) => profile?.source ?? 'measured')
  return [...new Set([...profiles, ...crossings.map(({ link }) => link.source)])].toSorted()
}

/** Reasons to doubt a plan's numbers: profiles that failed their own check. */
export function warningsOf({ stops }: Journey): string[] {
  return stops.flatMap(({ runsLayers, profile }) =>
    runsLayers && profile?.predictionError?.ok === false
      ? [`the profile of ${profile.resource} failed its own check`]
      : [],
  )
}
