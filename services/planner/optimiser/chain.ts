/**
 * The compact numeric form of a problem that the search computes with: layer costs as prefix sums, boundary bytes as
 * one array, links as matrices. Made once per problem and source; constraints come later (space.ts).
 *
 * Resources that can never be part of a plan are left out here, each with its reason.
 */
import type { Problem, PlanningResource } from './problem.ts'

export interface ChainResource {
  name: string
  tier: string
  /** Position among the tiers that exist, 0 first, without gaps. */
  rank: number
  /** `prefixMs[k]`: ms to run layers 0..k-1 here, slowdown included. Null when it has no profile (source only). */
  prefixMs: Float64Array | null
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
  /** `[from * resources + to]`: ms per crossing whatever its size (round trip and the answer's way back). */
  hopMs: Float64Array
  /** Same index: ms per byte. Pairs without a link hold Infinity in `hopMs` and 0 here. */
  hopMsPerByte: Float64Array
}

export interface LeftOut {
  resource: string
  reason: string
}

/** ms that one byte takes at 1 Mbps: 8 bits / (10^6 bit/s) = 0.008 ms. */
const MS_PER_BYTE_AT_1_MBPS = 0.008

/** @param source must be one of the problem's resources. */
export function compile(problem: Problem, source: string): { chain: Chain; leftOut: LeftOut[] } {
  const { usable, leftOut } = selectResources(problem, source)
  const indices = [...new Set(problem.resources.map((resource) => resource.tierIndex))].sort((a, b) => a - b)
  const tiers = indices.map((index) => problem.resources.find((one) => one.tierIndex === index)?.tier ?? '')
  const boundaries = problem.structure.boundaries
  const last = boundaries.length - 1
  const boundaryBytes = Float64Array.from(boundaries, (boundary) => boundary.bytes)
  const chain: Chain = {
    layers: last,
    resources: usable.map((resource) => ({
      name: resource.name,
      tier: resource.tier,
      rank: indices.indexOf(resource.tierIndex),
      prefixMs: prefixOf(problem, resource),
    })),
    source: usable.findIndex((resource) => resource.name === source),
    tiers,
    boundaryBytes,
    weightPrefix: prefixSums(problem.structure.layers.map((layer) => layer.weightBytes)),
    activationBytes: Float64Array.from(problem.structure.layers, (layer, index) =>
      layer.outputs.reduce((sum, { bytes }) => sum + bytes, boundaryBytes[index]!),
    ),
    cleanCuts: Uint8Array.from(boundaries, ({ k, allowed, clean }) =>
      Number(k === 0 || k === last || (allowed && clean)),
    ),
    anyCuts: Uint8Array.from(boundaries, ({ k, allowed }) => Number(k === 0 || k === last || allowed)),
    hopMs: new Float64Array(usable.length ** 2).fill(Infinity),
    hopMsPerByte: new Float64Array(usable.length ** 2),
  }
  fillLinks(chain, problem)
  return { chain, leftOut }
}

/** Answers go back the way the request came, so the whole output crosses every link used. */
function fillLinks(chain: Chain, problem: Problem): void {
  const outputBytes = chain.boundaryBytes[chain.layers]!
  const indexOf = new Map(chain.resources.map((resource, index) => [resource.name, index]))
  for (const link of problem.links) {
    const from = indexOf.get(link.from)
    const to = indexOf.get(link.to)
    if (from === undefined || to === undefined) continue
    const at = from * chain.resources.length + to
    chain.hopMs[at] = link.rttMs + (outputBytes * MS_PER_BYTE_AT_1_MBPS) / link.returnBandwidthMbps
    chain.hopMsPerByte[at] = MS_PER_BYTE_AT_1_MBPS / link.bandwidthMbps
  }
}

function prefixOf(problem: Problem, resource: PlanningResource): Float64Array | null {
  const profile = problem.profiles.find((candidate) => candidate.resource === resource.name)
  if (!profile) return null
  return prefixSums(profile.layerMs.map((ms) => ms * resource.slowdown))
}

function prefixSums(values: readonly number[]): Float64Array {
  const prefix = new Float64Array(values.length + 1)
  values.forEach((value, index) => {
    prefix[index + 1] = prefix[index]! + value
  })
  return prefix
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
