/**
 * The compact numeric form of a problem that the chain search computes with: layer costs as prefix sums, boundary bytes
 * and codecs as arrays over the boundaries, links as matrices. It is made once per problem, source and confidence, does
 * not depend on the query, and lives as long as the problem object: a changed problem must be a new object.
 */
import type { RuntimeOptions } from '../../contracts/resource.ts'
import {
  layerSizesOf,
  chosenOptions,
  type Confidence,
  crossingCost,
  type LeftOut,
  type PlanningProfile,
  type PlanningResource,
  type PlanningStructure,
  type Problem,
  profilesOf,
  sourceOf,
  stageBound,
} from '../problem/problem.ts'

/**
 * A resource with runtime options, which can run a stage. Times include the resource's slowdown.
 *
 *   stage [i, j) = fixedMs + max(0, prefixMs[j] − prefixMs[i] + enterMs[i] + exitMs[j])
 *
 * So a stage's time is a part that its begin decides plus a part that its end decides, unless the sum is cut off at 0
 * (`dips`): then the bounds of the search are too low, and the exact time is computed for each plan.
 */
export interface Runner {
  /** Index of the resource in its chain. */
  resource: number
  /** The runner as a position on a route. */
  stop: RouteStop
  /** Index of the profile among those of the resource. Lower indices win ties. */
  variant: number
  /** Set if they are not the resource's own. */
  options: RuntimeOptions | undefined
  prefixMs: Float64Array
  enterMs: Float64Array
  exitMs: Float64Array
  fixedMs: number
  /** A stage takes at least the difference of its prefixes plus this. */
  minExtraMs: number
  /** True if some stage would take less than 0 ms. */
  dips: boolean
  /** Upper bound on the size of the numbers that times are computed from. */
  scaleMs: number
  /** Per codec of the chain: ms per byte, NaN if the resource has no measured speed. */
  encodeMsPerByte: Float64Array
  decodeMsPerByte: Float64Array
}

/** A position on a route: a runner of a stage, or the source if it only sends the input on. */
export interface RouteStop {
  resource: number
  /** Undefined if it runs nothing. */
  runner: Runner | undefined
  /** ms of a request here whatever layers it runs; also if it runs none. */
  fixedMs: number
  /** Per codec: ms per byte, NaN if it cannot encode. */
  encodeMsPerByte: Float64Array
}

export interface ChainResource {
  name: string
  tier: string
  /** Position among the tiers that exist: 0 first, without gaps. */
  rank: number
  /** One per profile, the one with the resource's own options first; empty if it has no profile (source only). */
  runners: Runner[]
}

/** A codec as arrays over the boundaries. */
export interface ChainCodec {
  name: string
  /** Bytes on the wire, whole numbers; NaN where the codec is not calibrated. */
  wireBytes: Float64Array
  /** Share of answers that it spoils. */
  loss: Float64Array
}

/** Index of the codec `none`, which changes nothing. */
export const NO_CODEC = 0

export interface Chain {
  structure: PlanningStructure
  /** N: boundaries are 0..N. */
  layers: number
  /** By rank, then name. Lower indices win ties. */
  resources: ChainResource[]
  /** Index of the resource that has the input. */
  source: number
  /** The source if it runs nothing. */
  idleSource: RouteStop
  /** Names by rank, also of tiers whose resources were all left out. */
  tiers: string[]
  boundaryBytes: Float64Array
  /** `weightPrefix[k]`: bytes of the weights of layers 0..k-1; shared weights count once per layer that reads them. */
  weightPrefix: Float64Array
  /** Per layer, bytes of the tensors alive while it runs. */
  activationBytes: Float64Array
  /** Per boundary: 1 if the model may be cut there, at clean cuts only and at any cut. 0 and N are always 1. */
  cleanCuts: Uint8Array
  anyCuts: Uint8Array
  /** `[from * resources + to]`: ms per crossing whatever its size: round trip, cost per message, the answer's return. */
  hopMs: Float64Array
  /** Same index: ms per byte. Pairs without a link have Infinity in `hopMs` and 0 here. */
  hopMsPerByte: Float64Array
  /** `none` first, then by name. */
  codecs: ChainCodec[]
  /** Largest `scaleMs` of all runners: rounding errors are relative to it. */
  scaleMs: number
}

export interface CompiledProblem {
  problem: Problem
  source: string
  leftOut: LeftOut[]
  /** Every time at its median. */
  median: Chain
  /** Every time at its upper 95 % bound. */
  upper(): Chain
  /** True if some codec spoils answers somewhere. */
  lossy: boolean
}

const compiled = new WeakMap<Problem, Map<string, CompiledProblem>>()

/**
 * Resources that no plan can use are left out, each with its reason.
 * @param problem passed `checkProblem`. @param named the resource that has the input; default: the only one of the first tier.
 * @throws ScissionError badRequest if `named` is missing and several resources could be meant.
 */
export function compileProblem(problem: Problem, named?: string): CompiledProblem {
  const source = sourceOf(problem.resources, named)
  let bySource = compiled.get(problem)
  if (!bySource) compiled.set(problem, (bySource = new Map()))
  let found = bySource.get(source)
  if (!found) bySource.set(source, (found = compileFor(problem, source)))
  return found
}

function compileFor(problem: Problem, source: string): CompiledProblem {
  const { usable, leftOut } = selectResources(problem, source)
  let upper: Chain | undefined
  return {
    problem,
    source,
    leftOut,
    median: chainOf(problem, usable, source, 'median'),
    upper: () => (upper ??= chainOf(problem, usable, source, 'upper')),
    lossy: (problem.codecs ?? []).some(({ cells }) => cells.some(({ accuracyLoss }) => accuracyLoss > 0)),
  }
}

type Bound = Exclude<Confidence, 'lower'>

function chainOf(problem: Problem, usable: readonly PlanningResource[], source: string, bound: Bound): Chain {
  const indices = [...new Set(problem.resources.map((resource) => resource.tierIndex))].sort((a, b) => a - b)
  const tiers = indices.map((index) => problem.resources.find((one) => one.tierIndex === index)?.tier ?? '')
  const codecs = codecsOf(problem)
  const resources = usable.map((resource, at) => ({
    name: resource.name,
    tier: resource.tier,
    rank: indices.indexOf(resource.tierIndex),
    runners: runnersOf(problem, resource, at, codecs, bound),
  }))
  const sourceAt = usable.findIndex((resource) => resource.name === source)
  const chain: Chain = {
    ...boundariesOf(problem),
    resources,
    source: sourceAt,
    idleSource: {
      resource: sourceAt,
      runner: undefined,
      fixedMs: resources[sourceAt]!.runners[0]?.fixedMs ?? 0,
      encodeMsPerByte:
        resources[sourceAt]!.runners[0]?.encodeMsPerByte ??
        Float64Array.from(codecs, (_, codec) => (codec === NO_CODEC ? 0 : NaN)),
    },
    tiers,
    hopMs: new Float64Array(usable.length ** 2).fill(Infinity),
    hopMsPerByte: new Float64Array(usable.length ** 2),
    codecs,
    scaleMs: Math.max(0, ...resources.flatMap(({ runners }) => runners.map((runner) => runner.scaleMs))),
  }
  fillLinks(chain, problem, bound)
  return chain
}

/** The part of a chain that depends on the structure only. */
function boundariesOf({ structure }: Problem) {
  const { layers, boundaries } = structure
  const last = boundaries.length - 1
  return {
    structure,
    layers: last,
    boundaryBytes: Float64Array.from(boundaries, (boundary) => boundary.bytes),
    weightPrefix: prefixSums(layers.map((layer) => layer.weightBytes)),
    activationBytes: layerSizesOf(structure).alive,
    cleanCuts: Uint8Array.from(boundaries, ({ k, allowed, clean }) =>
      Number(k === 0 || k === last || (allowed && clean)),
    ),
    anyCuts: Uint8Array.from(boundaries, ({ k, allowed }) => Number(k === 0 || k === last || allowed)),
  }
}

/** The answer returns along the path of the request, so the whole output crosses every link used. */
function fillLinks(chain: Chain, problem: Problem, bound: Bound): void {
  const answerBytes = chain.boundaryBytes[chain.layers]!
  const indexOf = new Map(chain.resources.map((resource, index) => [resource.name, index]))
  for (const link of problem.links) {
    const from = indexOf.get(link.from)
    const to = indexOf.get(link.to)
    if (from === undefined || to === undefined) continue
    const { fixedMs, msPerByte } = crossingCost(link, answerBytes, bound)
    const at = from * chain.resources.length + to
    chain.hopMs[at] = fixedMs
    chain.hopMsPerByte[at] = msPerByte
  }
}

function prefixSums(values: readonly number[]): Float64Array {
  const prefix = new Float64Array(values.length + 1)
  for (let index = 0; index < values.length; index += 1) prefix[index + 1] = prefix[index]! + values[index]!
  return prefix
}

/** `none` at every boundary; the other codecs at their calibrated boundaries, by name. */
function codecsOf(problem: Problem): ChainCodec[] {
  const { boundaries } = problem.structure
  const none = {
    name: 'none',
    wireBytes: Float64Array.from(boundaries, ({ bytes }) => bytes),
    loss: new Float64Array(boundaries.length),
  }
  const others = (problem.codecs ?? [])
    .filter(({ name }) => name !== 'none')
    .sort((a, b) => (a.name < b.name ? -1 : 1))
  return [
    none,
    ...others.map(({ name, cells }) => {
      const wireBytes = new Float64Array(boundaries.length).fill(NaN)
      const loss = new Float64Array(boundaries.length)
      for (const { boundary, bytesRatio, accuracyLoss } of cells) {
        wireBytes[boundary] = Math.round(none.wireBytes[boundary]! * bytesRatio)
        loss[boundary] = accuracyLoss
      }
      return { name, wireBytes, loss }
    }),
  ]
}

function runnersOf(
  problem: Problem,
  resource: PlanningResource,
  index: number,
  codecs: readonly ChainCodec[],
  bound: Bound,
): Runner[] {
  return profilesOf(problem, resource).map((profile, variant) => {
    const speeds = speedsOf(profile, resource.slowdown, codecs)
    const times = timesOf(profile, resource.slowdown, bound)
    const stop: RouteStop = {
      resource: index,
      runner: undefined,
      fixedMs: times.fixedMs,
      encodeMsPerByte: speeds.encodeMsPerByte,
    }
    const runner = {
      resource: index,
      stop,
      variant,
      options: chosenOptions(problem, resource, profile),
      ...times,
      ...speeds,
    }
    stop.runner = runner
    return runner
  })
}

function timesOf(profile: PlanningProfile, slowdown: number, at: Bound) {
  const bound = stageBound(profile, at)
  const layers = profile.layerMs.length
  const scale = slowdown * bound.factor
  const prefixMs = new Float64Array(layers + 1)
  for (let k = 0; k < layers; k += 1) prefixMs[k + 1] = prefixMs[k]! + profile.layerMs[k]! * scale
  const scaled = (values: readonly number[] | undefined) => {
    const costs = new Float64Array(layers + 1)
    if (values) for (let k = 0; k <= layers; k += 1) costs[k] = values[k]! * scale
    return costs
  }
  const enterMs = scaled(profile.enterMs)
  const exitMs = scaled(profile.exitMs)
  const fixedMs = bound.fixedMs * slowdown
  const plain = profile.enterMs === undefined && profile.exitMs === undefined
  return {
    prefixMs,
    enterMs,
    exitMs,
    fixedMs,
    minExtraMs: fixedMs + (plain ? 0 : minimum(enterMs) + minimum(exitMs)),
    dips: !plain && dips(prefixMs, enterMs, exitMs),
    scaleMs: prefixMs[layers]! + fixedMs + (plain ? 0 : -minimum(enterMs) - minimum(exitMs)),
  }
}

function dips(prefixMs: Float64Array, enterMs: Float64Array, exitMs: Float64Array): boolean {
  // Per end, only the begin before it with the smallest contribution matters.
  let begin = Infinity
  for (let k = 0; k < prefixMs.length; k += 1) {
    if (begin + prefixMs[k]! + exitMs[k]! < 0) return true
    begin = Math.min(begin, enterMs[k]! - prefixMs[k]!)
  }
  return false
}

/** The smallest value or 0. */
function minimum(values: Float64Array): number {
  return values.reduce((low, value) => Math.min(low, value), 0)
}

function speedsOf(profile: PlanningProfile, slowdown: number, codecs: readonly ChainCodec[]) {
  const speeds = codecs.map(({ name }) => {
    if (name === 'none') return { encodeMsPerMb: 0, decodeMsPerMb: 0 }
    return profile.codecs?.find((speed) => speed.codec === name)
  })
  const perByte = (msPerMb: number | undefined) => (msPerMb === undefined ? NaN : (msPerMb * slowdown) / 1e6)
  return {
    encodeMsPerByte: Float64Array.from(speeds, (speed) => perByte(speed?.encodeMsPerMb)),
    decodeMsPerByte: Float64Array.from(speeds, (speed) => perByte(speed?.decodeMsPerMb)),
  }
}

/** Keeps the source and the resources that it reaches by links to later and later tiers over resources with a profile. */
function selectResources(problem: Problem, sourceName: string) {
  const sorted = problem.resources
    .slice()
    .sort((a, b) => a.tierIndex - b.tierIndex || (a.name < b.name ? -1 : 1))
  const profiled = new Set(problem.profiles.map((profile) => profile.resource))
  const linked = new Set(problem.links.map((link) => `${link.from} ${link.to}`))
  const usable: PlanningResource[] = []
  const leftOut: LeftOut[] = []
  const source = sorted.find((resource) => resource.name === sourceName)
  for (const resource of sorted) {
    const reasons: string[] = []
    if (!profiled.has(resource.name))
      reasons.push('it has no profile of this model: benchmark the model on it')
    if (resource !== source) {
      const before = usable.filter((other) => other.tierIndex < resource.tierIndex)
      if (source && resource.tierIndex <= source.tierIndex)
        reasons.push(`plans only move forward, and tier ${resource.tier} is not after ${sourceName}'s`)
      else if (!before.some((other) => linked.has(`${other.name} ${resource.name}`)))
        reasons.push(`no link leads to it: ${missingLinks(source, before, resource)} not measured`)
    }
    if (resource === source || reasons.length === 0) usable.push(resource)
    if (reasons.length > 0) leftOut.push({ resource: resource.name, reason: reasons.join('; ') })
  }
  return { usable, leftOut }
}

function missingLinks(
  source: PlanningResource | undefined,
  before: readonly PlanningResource[],
  to: PlanningResource,
): string {
  const from = new Set([...(source ? [source] : []), ...before].map((resource) => resource.name))
  return [...from].map((name) => `${name} → ${to.name}`).join(', ')
}
