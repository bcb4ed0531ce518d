/**
 * Constraints in the form the search needs: which boundaries may be cut, which resources may hold a stage and how long
 * it may be, which hops may be taken, how many stages. Every constraint turns into one of these before the search
 * starts, so the search is exact under all of them and never has to look back.
 *
 * - A resource that must be used excludes the others of its tier and makes the tier required: a plan has at most one
 *   stage per tier.
 * - A required tier cannot be jumped over, by a hop, before the first stage or after the last.
 * - The first k layers on the source mean: start there, and no cut before boundary k.
 * - Layers that must run on a tier are forbidden on all others.
 */
import type { Chain } from './chain.ts'
import type { Constraint } from './constraints.ts'
import { noLimits, reachOf, type StageLimits } from './reach.ts'

export interface SearchSpace {
  /** Boundaries where a stage may begin or end, ascending, from 0 to N. */
  positions: Int32Array
  /** Resources that may run the first stage. */
  starts: number[]
  /** Per resource: 1 when the last stage may be there. */
  mayEnd: Uint8Array
  /** Per resource: where the next stage may be. */
  next: number[][]
  /** Per resource and position: the last position where a stage that begins there may end. */
  reach: Int32Array[]
  /** Per resource: most bytes it may send on. */
  maxUploadBytes: Float64Array
  /** No hop may take longer. */
  maxHopMs: number
  maxLatencyMs: number
  minStages: number
  maxStages: number
  /** True when the stage counts exclude something, so that the search has to count. */
  countStages: boolean
}

/** What the constraints come to, while they are gone through. */
interface Draft {
  usable: boolean[]
  required: boolean[]
  limits: StageLimits[]
  maxUploadBytes: Float64Array
  maxHopMs: number
  maxLatencyMs: number
  firstLayers: number
  minStages: number
  maxStages: number
  clean: boolean
}

/**
 * @param constraints may contradict each other: then the space holds no plan.
 * @param bottleneckMs no stage and no hop may take longer (throughput.ts).
 */
export function spaceOf(
  chain: Chain,
  constraints: readonly Constraint[],
  bottleneckMs = Infinity,
): SearchSpace {
  const draft: Draft = {
    usable: chain.resources.map((resource) => resource.prefixMs !== null),
    required: chain.tiers.map(() => false),
    limits: chain.resources.map(noLimits),
    maxUploadBytes: new Float64Array(chain.resources.length).fill(Infinity),
    maxHopMs: Infinity,
    maxLatencyMs: Infinity,
    firstLayers: 0,
    minStages: 1,
    maxStages: chain.tiers.length,
    clean: false,
  }
  for (const constraint of constraints) apply(chain, draft, constraint)
  limitSteps(draft, bottleneckMs)
  const { minStages, maxStages, maxUploadBytes, maxHopMs, maxLatencyMs } = draft
  const positions = positionsOf(chain, draft)
  return {
    positions,
    ...movesOf(chain, draft),
    reach: chain.resources.map(({ prefixMs }, at) =>
      prefixMs === null ? new Int32Array(0) : reachOf(chain, positions, prefixMs, draft.limits[at]!),
    ),
    maxUploadBytes,
    maxHopMs,
    maxLatencyMs,
    minStages,
    maxStages,
    countStages: minStages > 1 || maxStages < chain.tiers.length,
  }
}

function apply(chain: Chain, draft: Draft, constraint: Constraint): void {
  const inTier = (tier: string) => chain.resources.map((resource) => resource.tier === tier)
  switch (constraint.kind) {
    case 'mustUseTiers':
      draft.required[chain.tiers.indexOf(constraint.name)] = true
      return
    case 'mustUseResources':
      mustUse(chain, draft, constraint.name)
      return
    case 'mustNotUseTiers':
      for (const [at, there] of inTier(constraint.name).entries()) if (there) draft.usable[at] = false
      return
    case 'mustNotUseResources':
      for (const [at, { name }] of chain.resources.entries())
        if (name === constraint.name) draft.usable[at] = false
      return
    case 'mustRunLayers':
    case 'mustNotRunLayers':
      for (const [at, there] of inTier(constraint.tier).entries())
        if (there === (constraint.kind === 'mustNotRunLayers'))
          for (let layer = constraint.from; layer < constraint.to; layer += 1)
            draft.limits[at]!.forbidden.add(layer)
      return
    case 'maxTierMs':
    case 'maxUploadBytes':
    case 'maxMemoryBytes':
      limitNamed(chain, draft, constraint.kind, constraint.name, constraint.limit)
      return
    case 'maxLatencyMs':
      draft.maxLatencyMs = constraint.limit
      return
    case 'minThroughput':
      limitSteps(draft, 1000 / constraint.limit)
      return
    case 'firstLayersOnDevice':
      draft.firstLayers = constraint.count
      return
    case 'minStages':
      draft.minStages = Math.max(draft.minStages, constraint.count)
      return
    case 'maxStages':
      draft.maxStages = Math.min(draft.maxStages, constraint.count)
      return
    case 'cuts':
      draft.clean = true
  }
}

function mustUse(chain: Chain, draft: Draft, name: string): void {
  const wanted = chain.resources.find((resource) => resource.name === name)
  // One that was left out cannot be used: then nothing may run at all.
  if (wanted) draft.required[wanted.rank] = true
  chain.resources.forEach((other, at) => {
    if (other !== wanted && (!wanted || other.rank === wanted.rank)) draft.usable[at] = false
  })
}

function limitNamed(
  chain: Chain,
  draft: Draft,
  kind: 'maxTierMs' | 'maxUploadBytes' | 'maxMemoryBytes',
  name: string,
  limit: number,
): void {
  chain.resources.forEach((resource, at) => {
    if ((kind === 'maxMemoryBytes' ? resource.name : resource.tier) !== name) return
    const limits = draft.limits[at]!
    if (kind === 'maxTierMs') limits.maxMs = Math.min(limits.maxMs, limit)
    else if (kind === 'maxMemoryBytes') limits.maxMemoryBytes = Math.min(limits.maxMemoryBytes, limit)
    else draft.maxUploadBytes[at] = Math.min(draft.maxUploadBytes[at]!, limit)
  })
}

function limitSteps(draft: Draft, ms: number): void {
  draft.maxHopMs = Math.min(draft.maxHopMs, ms)
  for (const limits of draft.limits) limits.maxMs = Math.min(limits.maxMs, ms)
}

/** A position names a boundary: `positions[p]`. */
function positionsOf(chain: Chain, { clean, firstLayers }: Draft): Int32Array {
  const cuts = clean ? chain.cleanCuts : chain.anyCuts
  const positions: number[] = []
  cuts.forEach((allowed, k) => {
    if (allowed && (k === 0 || k >= firstLayers)) positions.push(k)
  })
  return Int32Array.from(positions)
}

function movesOf(
  chain: Chain,
  { usable, required, firstLayers }: Draft,
): Pick<SearchSpace, 'starts' | 'next' | 'mayEnd'> {
  const { resources, source } = chain
  const blocked = (after: number, before: number) =>
    required.some((needed, rank) => needed && rank > after && rank < before)
  const linked = (from: number, to: number) => chain.hopMs[from * resources.length + to]! < Infinity
  const indices = resources.map((_, index) => index).filter((index) => usable[index])
  const rankOf = (index: number) => resources[index]!.rank
  return {
    starts: indices.filter(
      (index) =>
        !blocked(-1, rankOf(index)) && (index === source || (firstLayers === 0 && linked(source, index))),
    ),
    next: resources.map((from, at) =>
      indices.filter((to) => rankOf(to) > from.rank && linked(at, to) && !blocked(from.rank, rankOf(to))),
    ),
    mayEnd: Uint8Array.from(resources, ({ rank }) => Number(!blocked(rank, Infinity))),
  }
}
