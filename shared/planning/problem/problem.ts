/**
 * The input of the optimiser: a model's structure, resources, profiles, links, codecs and figures (watts, prices), with
 * the look-ups of the names in a plan and the times at a bound of their interval. Only the fields that planning reads are
 * required, so that imported data can be planned with too.
 */
import type { CalibrationCell } from '../../contracts/calibration.ts'
import type { Structure } from '../../contracts/model.ts'
import type { PlanQuery } from '../../contracts/plan.ts'
import type { PlanParts, PlanStage } from '../../contracts/plan-id.ts'
import type { Profile } from '../../contracts/profile.ts'
import type { Link, Resource, RuntimeOptions } from '../../contracts/resource.ts'
import { ScissionError } from '../../platform/errors.ts'
import { nearest } from '../../platform/nearest.ts'
import { entryOf } from '../../platform/entry-of.ts'
import { mostStopMs, type QuotaStops } from './quota-stops.ts'

export type PlanningStructure = Pick<Structure, 'model' | 'shapesKey' | 'layers' | 'boundaries'>
/** `options`: the resource's own runtime options. Default: the options of its first profile. */
export type PlanningResource = Pick<Resource, 'name' | 'tier' | 'tierIndex' | 'slowdown' | 'emulated'> &
  Partial<Pick<Resource, 'options' | 'limits'>>

/**
 * Stage [i, j) takes Σ layerMs[i..j) + enterMs[i] + exitMs[j] (never below 0) + callMs, times the resource's slowdown.
 * `codecs`: encoding and decoding speeds; a codec without an entry here cannot be used on this resource.
 */
export type PlanningProfile = Pick<Profile, 'resource' | 'model' | 'shapesKey' | 'layerMs' | 'emulated'> &
  Partial<Pick<Profile, 'enterMs' | 'exitMs' | 'interval' | 'options' | 'codecs' | 'source'>> & {
    predictionError?: { ok: boolean } | undefined
    /**
     * What a stage costs beside its run: reading the message, waking the thread that runs it, writing the answer. A source
     * that only passes the input on is charged the same, as a stage without layers. Absent = 0.
     */
    callMs?: number
    /** Half-widths for the median of many requests; `interval` is for one. Absent = the same. */
    typical?: Profile['interval']
    /** A quota of CPU time that stops stages here. Absent = none that binds. */
    stops?: QuotaStops
    /** The computer that it is of: its stages are slow and quick together. Absent = the resource's own. */
    host?: string
  }

export type PlanningLink = Pick<
  Link,
  'from' | 'to' | 'rttMs' | 'bandwidthMbps' | 'returnBandwidthMbps' | 'source' | 'emulated'
> &
  Partial<Pick<Link, 'perMessageMs' | 'jitterMs' | 'uncertainty' | 'emulation'>>

/** Effect of a codec at the boundaries where it is calibrated; it cannot be used elsewhere. `none` needs no entry. */
export interface PlanningCodec {
  name: string
  cells: readonly (Pick<CalibrationCell, 'boundary' | 'bytesRatio'> & {
    /** Share of answers that the codec spoils, 0..1. */
    accuracyLoss: number
  })[]
}

/** Watts and prices that energy and price are computed from. */
export const FIGURES = [
  'busyWatts',
  'idleWatts',
  'transmitWatts',
  'pricePerSecond',
  'pricePerGb',
] as const satisfies readonly (keyof PlanQuery)[]

/** Each field is a record by resource name. A missing entry counts as 0. */
export type Figures = Partial<Record<(typeof FIGURES)[number], Readonly<Record<string, number>> | undefined>>

export interface Problem {
  structure: PlanningStructure
  resources: readonly PlanningResource[]
  /** One per resource and set of runtime options. The planner chooses the options of each stage among them. */
  profiles: readonly PlanningProfile[]
  /** Directed. A pair of resources without a link cannot be used; links of resources that are not listed are ignored. */
  links: readonly PlanningLink[]
  codecs?: readonly PlanningCodec[] | undefined
  /** The figures of a query override these, field by field. */
  figures?: Figures | undefined
}

/** The graph view needs the model's inputs and outputs besides. */
export interface GraphProblem extends Problem {
  structure: PlanningStructure & Pick<Structure, 'inputs' | 'outputs'>
}

/** A resource that no plan can use, and the reason. */
export interface LeftOut {
  resource: string
  reason: string
}

/** @returns the named resource, or by default the only resource of the first tier. @throws ScissionError badRequest. */
export function sourceOf(resources: readonly PlanningResource[], named: string | undefined): string {
  if (named !== undefined) return named
  const first = Math.min(...resources.map((resource) => resource.tierIndex))
  const candidates = resources.filter((resource) => resource.tierIndex === first)
  if (candidates.length === 1 && candidates[0]) return candidates[0].name
  const names = candidates.map((resource) => resource.name).sort()
  throw new ScissionError(
    'badRequest',
    `source: the first tier has ${names.length} resources, ${names.join(', ')}: say which has the input`,
    { field: 'source', allowed: names },
  )
}

export interface LayerSizes {
  /** Per layer, bytes of the tensors alive while it runs: the boundary before it and its outputs. */
  alive: Float64Array
  /** Bytes of the weights of the layers before layer v. */
  weightsBefore: Float64Array
}

const layerSizes = new WeakMap<PlanningStructure, LayerSizes>()

/** In arrays, because the objects of a thousand layers lie scattered in memory. */
export function layerSizesOf(structure: PlanningStructure): LayerSizes {
  const known = layerSizes.get(structure)
  if (known) return known
  const { layers, boundaries } = structure
  const alive = Float64Array.from(layers, ({ outputs }, layer) =>
    outputs.reduce((total, { bytes }) => total + bytes, boundaries[layer]!.bytes),
  )
  const weightsBefore = new Float64Array(layers.length + 1)
  layers.forEach(({ weightBytes }, layer) => {
    weightsBefore[layer + 1] = weightsBefore[layer]! + weightBytes
  })
  const made = { alive, weightsBefore }
  layerSizes.set(structure, made)
  return made
}

/** Two undefined options are the same. */
export function sameOptions(a: RuntimeOptions | undefined, b: RuntimeOptions | undefined): boolean {
  return a?.threads === b?.threads && a?.optimisation === b?.optimisation
}

/** ` with 4 threads, all`, or the empty text. */
export function optionsText(options: RuntimeOptions | undefined): string {
  return options ? ` with ${options.threads} threads, ${options.optimisation}` : ''
}

/** The profiles of a resource: those with its own runtime options first, then by threads and optimisation. */
export function profilesOf(problem: Problem, resource: PlanningResource): PlanningProfile[] {
  const all = problem.profiles.filter((profile) => profile.resource === resource.name)
  if (all.length < 2) return all
  const own = ownOptions(problem, resource)
  const rank = (options: RuntimeOptions | undefined) =>
    sameOptions(options, own)
      ? ''
      : `${String(options?.threads ?? 0).padStart(3, '0')} ${options?.optimisation}`
  const key = new Map(all.map((profile) => [profile, rank(profile.options)]))
  return all.sort((a, b) => (key.get(a)! < key.get(b)! ? -1 : 1))
}

/** The options that a plan does not name: those of the resource, or by default of its first profile. */
export function ownOptions(problem: Problem, resource: PlanningResource): RuntimeOptions | undefined {
  return resource.options ?? problem.profiles.find((profile) => profile.resource === resource.name)?.options
}

/** The options of a profile if they are not its resource's own; else undefined. */
export function chosenOptions(
  problem: Problem,
  resource: PlanningResource,
  { options }: PlanningProfile,
): RuntimeOptions | undefined {
  return sameOptions(options, ownOptions(problem, resource)) ? undefined : options
}

/** The resources that a request passes, in order: the source first, even if it runs nothing. */
export function pathOf({ source, stages }: PlanParts): readonly PlanStage[] {
  return stages[0]?.resource === source ? stages : [{ resource: source, from: 0, to: 0 }, ...stages]
}

/** @throws ScissionError notFound. */
export function resourceNamed(problem: Problem, name: string): PlanningResource {
  const found = problem.resources.find((resource) => resource.name === name)
  if (found) return found
  const known = problem.resources.map((resource) => resource.name).sort()
  throw new ScissionError('notFound', `unknown resource ${name}${nearest(name, known)}`, { known })
}

/** The profile of the stage's resource with the stage's options. @throws ScissionError notMeasured. */
export function profileOf(problem: Problem, { resource, options }: PlanStage): PlanningProfile {
  const wanted = options ?? ownOptions(problem, resourceNamed(problem, resource))
  const all = problem.profiles.filter((profile) => profile.resource === resource)
  const found = all.find((profile) => sameOptions(profile.options, wanted))
  if (found) return found
  const which = all.length === 0 ? '' : optionsText(wanted)
  throw new ScissionError(
    'notMeasured',
    `${resource} has no profile of this model${which}: benchmark the model on it`,
  )
}

/** The profile whose costs count on a source that runs nothing: its first; undefined if it has none. */
export function relayProfileOf(problem: Problem, source: PlanningResource): PlanningProfile | undefined {
  return profilesOf(problem, source)[0]
}

/**
 * Encoding and decoding speed of a stage's resource. A source that runs nothing codes at the speed of its first profile.
 * @throws ScissionError notMeasured.
 */
export function speedOf(problem: Problem, stage: PlanStage, codec: string) {
  const runsNothing = stage.to === stage.from
  const profile = runsNothing
    ? relayProfileOf(problem, resourceNamed(problem, stage.resource))
    : profileOf(problem, stage)
  const speed = profile?.codecs?.find((one) => one.codec === codec)
  if (speed) return speed
  throw new ScissionError(
    'notMeasured',
    `how fast ${stage.resource} is at codec ${codec} is not measured: benchmark the model on it again`,
  )
}

/** @throws ScissionError notMeasured naming the pair. */
export function linkOf(problem: Problem, from: string, to: string): PlanningLink {
  const found = problem.links.find((link) => link.from === from && link.to === to)
  if (found) return found
  throw new ScissionError(
    'notMeasured',
    `the link ${from} → ${to} is not measured: measure it or give its figures`,
  )
}

/**
 * Refuses names that do not exist.
 * @param field of the query. @param what kind of thing the names stand for.
 * @throws ScissionError notFound for the first unknown name, with the nearest known one.
 * @example checkKnown('without', 'resource', ['clod'], ['cloud', 'device']) // without: unknown resource "clod"; did you mean …
 */
export function checkKnown(
  field: string,
  what: string,
  names: readonly string[],
  known: readonly string[],
): void {
  const unknown = names.find((name) => !known.includes(name))
  if (unknown === undefined) return
  const message = `${field}: unknown ${what} "${unknown}"${nearest(unknown, known)}`
  throw new ScissionError('notFound', message, { field, known })
}

/**
 * A bound of the 95 % interval of a time. A stage predicted to take x ms lies within x − (below·x + fixedMs) and x + (relative·x + fixedMs); a link's
 * figures lie within their half-widths. A plan at its upper bound has each of its parts at its own upper bound.
 */
export type Confidence = 'lower' | 'median' | 'upper'
/** The bounds of one request, and of the median of many. */
export type TimeConfidence = Confidence | 'typicalLower' | 'typicalUpper'

/** Least share of a bandwidth that its bound can be: a bound of 0 would make transfers infinitely long. */
const MIN_BANDWIDTH_SHARE = 0.1

/**
 * Link figures at a bound. `fixedMs` is the round trip plus the cost per message, for one request with its jitter. `upper` is
 * the slow end.
 */
export function linkFigures(link: PlanningLink, confidence: TimeConfidence) {
  const sign = { lower: -1, typicalLower: -1, median: 0, typicalUpper: 1, upper: 1 }[confidence]
  const { uncertainty } = link
  const isOfOne = confidence === 'lower' || confidence === 'upper'
  const ofMessage = (uncertainty?.perMessageMs ?? 0) + (isOfOne ? (link.jitterMs ?? 0) : 0)
  const at = (value: number, width = 0) => Math.max(0, value + sign * width)
  const bandwidth = (value: number, width = 0) => Math.max(value * MIN_BANDWIDTH_SHARE, value - sign * width)
  return {
    fixedMs: at(link.rttMs, uncertainty?.rttMs) + at(link.perMessageMs ?? 0, ofMessage),
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
  const { callMs = 0, stops } = profile
  return confidence === 'upper'
    ? { factor: 1 + relative, fixedMs: callMs + fixedMs + (stops ? mostStopMs(stops) : 0) }
    : { factor: 1, fixedMs: callMs }
}

/** Time at the bound of the machine's pace of a stage that runs `ms`, never below 0, before the resource's slowdown. */
export function stageMsAt(
  { interval, typical = interval, callMs = 0 }: Pick<PlanningProfile, 'interval' | 'typical' | 'callMs'>,
  ms: number,
  confidence: TimeConfidence,
): number {
  const isTypical = confidence === 'typicalLower' || confidence === 'typicalUpper'
  const widths = isTypical ? typical : interval
  if (!widths || confidence === 'median') return ms + callMs
  const { relative, below = relative, fixedMs } = widths
  const isUpper = confidence === 'upper' || confidence === 'typicalUpper'
  return callMs + (isUpper ? ms + relative * ms + fixedMs : Math.max(-callMs, ms - below * ms - fixedMs))
}

/** The figures that count for a query: its own override those of the problem, field by field. */
export function figuresFor({ figures }: Pick<Problem, 'figures'>, query: Figures): Figures {
  return Object.fromEntries(FIGURES.map((field) => [field, query[field] ?? figures?.[field]]))
}

/** One figure of a resource; 0 if it is not given. */
export function figureOf(figures: Figures, field: keyof Figures, resource: string): number {
  return entryOf(figures[field], resource) ?? 0
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
