/**
 * From a problem to its numeric form. Resources that no plan can use are left out, each with its reason.
 *
 * Compiled forms are kept as long as the problem object lives, so a caller that passes the same object again pays
 * nothing; a changed problem must be a new object.
 */
import { checkProblem } from '../problem/check-problem.ts'
import { type Confidence, crossingCost, stageBound } from '../problem/figures.ts'
import {
  aliveBytesOf,
  chosenOptions,
  type LeftOut,
  type PlanningProfile,
  type PlanningResource,
  type Problem,
  profilesOf,
  sourceOf,
} from '../problem/problem.ts'
import type { Chain, ChainCodec, Runner } from './chain.ts'

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
 * @param named the resource that has the input; default: the only one of the first tier.
 * @throws ScissionError badRequest, notMeasured if nothing can be planned with the problem.
 */
export function compileProblem(problem: Problem, named?: string): CompiledProblem {
  checkProblem(problem)
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
  const chain: Chain = {
    ...boundariesOf(problem),
    resources,
    source: usable.findIndex((resource) => resource.name === source),
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
    activationBytes: aliveBytesOf(structure),
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
  return profilesOf(problem, resource).map((profile, variant) => ({
    resource: index,
    variant,
    options: chosenOptions(problem, resource, profile),
    ...timesOf(profile, resource.slowdown, bound),
    ...speedsOf(profile, resource.slowdown, codecs),
  }))
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
