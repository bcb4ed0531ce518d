/**
 * The compact numeric form of a problem that the search computes with: layer costs as prefix sums, boundary bytes as
 * one array, links as matrices. Made once per problem, source and confidence; queries come later (demands.ts).
 *
 * Resources that can never be part of a plan are left out here, each with its reason.
 */
import type { RuntimeOptions } from '../../contracts/resource.ts'
import { type ChainCodec, codecsOf } from './chain-codecs.ts'
import { type Confidence, linkFigures } from '../problem/confidence.ts'
import type { PlanningResource, Problem } from '../problem/problem.ts'
import { type Unit, unitsOf } from './chain.ts'

export interface ChainResource {
  name: string
  tier: string
  /** Position among the tiers that exist, 0 first, without gaps. */
  rank: number
  /** `prefixMs[k]`: ms to run layers 0..k-1 here with its own options, slowdown included. Null without a profile. */
  prefixMs: Float64Array | null
  /** Its profiles, the one with its own options first; none when it has no profile (source only). */
  units: Unit[]
}

export interface Chain {
  /** N: boundaries are 0..N. */
  layers: number
  /** Sorted by rank, then name: lower indices win ties. */
  resources: ChainResource[]
  /** Index of the resource the input is at. */
  source: number
  /** Rank → tier name, resources left out included. */
  tiers: string[]
  boundaryBytes: Float64Array
  /** `weightPrefix[k]`: bytes of the weights of layers 0..k-1; shared ones count once per layer that reads them. */
  weightPrefix: Float64Array
  /** Per layer, the bytes of tensors alive while it runs: the frontier before it and what it makes. */
  activationBytes: Float64Array
  /** 1 where the model may be cut: at clean cuts, or at all where cutting keeps results. 0 and N are always 1. */
  cleanCuts: Uint8Array
  anyCuts: Uint8Array
  /** `[from * resources + to]`: ms per crossing whatever its size (round trip, cost per message, the answer's way back). */
  hopMs: Float64Array
  /** Same index: ms per byte. Pairs without a link hold Infinity in `hopMs` and 0 here. */
  hopMsPerByte: Float64Array
  /** `none` first, then by name. */
  codecs: ChainCodec[]
  /** The longest that any resource needs for the whole model: what rounding errors are measured by. */
  scaleMs: number
}

export interface LeftOut {
  resource: string
  reason: string
}

/** ms that one byte takes at 1 Mbps: 8 bits / (10^6 bit/s) = 0.008 ms. */
const MS_PER_BYTE_AT_1_MBPS = 0.008

/**
 * @param source must be one of the problem's resources.
 * @param confidence `upper`: every time at its 95 % bound.
 */
export function compile(
  problem: Problem,
  source: string,
  confidence: Confidence = 'median',
): { chain: Chain; leftOut: LeftOut[] } {
  const { usable, leftOut } = selectResources(problem, source)
  const indices = [...new Set(problem.resources.map((resource) => resource.tierIndex))].sort((a, b) => a - b)
  const tiers = indices.map((index) => problem.resources.find((one) => one.tierIndex === index)?.tier ?? '')
  const codecs = codecsOf(problem)
  const resources = usable.map((resource, at) => {
    const units = unitsOf(problem, resource, at, codecs, confidence)
    const rank = indices.indexOf(resource.tierIndex)
    return { name: resource.name, tier: resource.tier, rank, prefixMs: units[0]?.prefixMs ?? null, units }
  })
  const chain: Chain = {
    ...frontiersOf(problem),
    resources,
    source: usable.findIndex((resource) => resource.name === source),
    tiers,
    hopMs: new Float64Array(usable.length ** 2).fill(Infinity),
    hopMsPerByte: new Float64Array(usable.length ** 2),
    codecs,
    scaleMs: Math.max(0, ...resources.flatMap(({ units }) => units.map((unit) => unit.scaleMs))),
  }
  fillLinks(chain, problem, confidence)
  return { chain, leftOut }
}

/** What the structure says, whatever the resources. */
function frontiersOf({ structure: { layers, boundaries } }: Problem) {
  const last = boundaries.length - 1
  const boundaryBytes = Float64Array.from(boundaries, (boundary) => boundary.bytes)
  return {
    layers: last,
    boundaryBytes,
    weightPrefix: prefixSums(layers.map((layer) => layer.weightBytes)),
    activationBytes: Float64Array.from(layers, (layer, index) =>
      layer.outputs.reduce((sum, { bytes }) => sum + bytes, boundaryBytes[index]!),
    ),
    cleanCuts: Uint8Array.from(boundaries, ({ k, allowed, clean }) =>
      Number(k === 0 || k === last || (allowed && clean)),
    ),
    anyCuts: Uint8Array.from(boundaries, ({ k, allowed }) => Number(k === 0 || k === last || allowed)),
  }
}

/** Answers go back the way the request came, so the whole output crosses every link used. */
function fillLinks(chain: Chain, problem: Problem, confidence: Confidence): void {
  const outputBytes = chain.boundaryBytes[chain.layers]!
  const indexOf = new Map(chain.resources.map((resource, index) => [resource.name, index]))
  for (const link of problem.links) {
    const from = indexOf.get(link.from)
    const to = indexOf.get(link.to)
    if (from === undefined || to === undefined) continue
    const { fixedMs, bandwidthMbps, returnBandwidthMbps } = linkFigures(link, confidence)
    const at = from * chain.resources.length + to
    chain.hopMs[at] = fixedMs + (outputBytes * MS_PER_BYTE_AT_1_MBPS) / returnBandwidthMbps
    chain.hopMsPerByte[at] = MS_PER_BYTE_AT_1_MBPS / bandwidthMbps
  }
}

export function prefixSums(values: readonly number[]): Float64Array {
  const prefix = new Float64Array(values.length + 1)
  for (let index = 0; index < values.length; index += 1) prefix[index + 1] = prefix[index]! + values[index]!
  return prefix
}

/** `edge`, or `edge with 4 threads, all` where its own options are not meant. */
export function unitName(
  chain: Chain,
  unit: { resource: number; options?: RuntimeOptions | undefined },
): string {
  const { name } = chain.resources[unit.resource]!
  return unit.options ? `${name} with ${unit.options.threads} threads, ${unit.options.optimisation}` : name
}

/** Keeps the source and what it can reach by links that climb the tiers over resources with a profile. */
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
      const below = usable.filter((other) => other.tierIndex < resource.tierIndex)
      if (source && resource.tierIndex <= source.tierIndex)
        reasons.push(`plans only move forward, and tier ${resource.tier} is not after ${sourceName}'s`)
      else if (!below.some((other) => linked.has(`${other.name} ${resource.name}`)))
        reasons.push(`no link leads to it: ${missingLinks(source, below, resource)} not measured`)
    }
    if (resource === source || reasons.length === 0) usable.push(resource)
    if (reasons.length > 0) leftOut.push({ resource: resource.name, reason: reasons.join('; ') })
  }
  return { usable, leftOut }
}

function missingLinks(
  source: PlanningResource | undefined,
  below: readonly PlanningResource[],
  to: PlanningResource,
): string {
  const from = new Set([...(source ? [source] : []), ...below].map((resource) => resource.name))
  return [...from].map((name) => `${name} → ${to.name}`).join(', ')
}
