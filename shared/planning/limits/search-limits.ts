/**
 * Constraints in the form the search needs: which boundaries may be cut, which units may hold a stage and how far it
 * may reach, which hops may be taken, how many stages, and what sums must stay within (budgets).
 *
 * - A resource that must be used excludes the others of its tier and makes the tier required: a plan has at most one
 *   stage per tier.
 * - The first k layers on the source mean: start there, and no cut before boundary k.
 * - Layers that must run on a tier are forbidden on all others.
 */
import type { Chain } from '../chain/compile-chain.ts'
import type { Constraint } from './constraints.ts'

/** Sums over a plan that can have a limit. */
export type BudgetKind = 'latency' | 'bytes' | 'energy' | 'price' | 'loss' | 'share'

/** `limit` in ms, bytes, joules, price, share of answers; for `share` in percent of the compute time on tier `rank`. */
export interface Budget {
  kind: BudgetKind
  limit: number
  rank: number
}

export interface Demands {
  /** Per resource: 1 when it may hold a stage. */
  usable: Uint8Array
  /** Per rank: true when the tier must hold a stage. */
  required: boolean[]
  /** Per resource: 1 for the layers it must not run; undefined: it may run all. */
  forbidden: (Uint8Array | undefined)[]
  /** Per resource: longest stage, ms of compute. */
  maxStageMs: Float64Array
  maxMemoryBytes: Float64Array
  /** Per resource: most wire bytes it may send on. */
  maxUploadBytes: Float64Array
  /** No step (a resource's work, a transfer there and back) may take longer. */
  maxStepMs: number
  /** Layers 0..k-1 run on the source. */
  firstLayers: number
  minStages: number
  maxStages: number
  clean: boolean
  /** Per codec of the chain: 1 when it may be used. */
  codecs: Uint8Array
  maxLoss: number
  budgets: Budget[]
}

/** Costs are sums in different orders: differences of this relative size are rounding, on either side of a limit. */
export const ROUNDING = 1e-12

/** What a limit comes to when rounding is allowed for. */
export function upTo(limit: number): number {
  return limit + Math.abs(limit) * ROUNDING
}

/** @param constraints may contradict each other: then no plan satisfies the demands. */
export function demandsOf(
  chain: Chain,
  constraints: readonly Constraint[],
  makerOf: (tensor: string) => number,
): Demands {
  const resources = chain.resources.length
  const demands: Demands = {
    usable: Uint8Array.from(chain.resources, ({ units }) => Number(units.length > 0)),
    required: chain.tiers.map(() => false),
    forbidden: chain.resources.map(() => undefined),
    maxStageMs: new Float64Array(resources).fill(Infinity),
    maxMemoryBytes: new Float64Array(resources).fill(Infinity),
    maxUploadBytes: new Float64Array(resources).fill(Infinity),
    maxStepMs: Infinity,
    firstLayers: 0,
    minStages: 1,
    maxStages: chain.tiers.length,
    clean: false,
    codecs: new Uint8Array(chain.codecs.length).fill(1),
    maxLoss: 1,
    budgets: [],
  }
  for (const constraint of constraints) apply(chain, demands, constraint, makerOf)
  return demands
}

function apply(
  chain: Chain,
  demands: Demands,
  constraint: Constraint,
  makerOf: (tensor: string) => number,
): void {
  switch (constraint.kind) {
    case 'mustUseTiers':
      demands.required[chain.tiers.indexOf(constraint.name)] = true
      return
    case 'mustUseResources':
      return mustUse(chain, demands, constraint.name)
    case 'mustNotUseTiers':
    case 'mustNotUseResources':
      for (const [at, { name, tier }] of chain.resources.entries())
        if (constraint.name === (constraint.kind === 'mustNotUseTiers' ? tier : name)) demands.usable[at] = 0
      return
    case 'mustRunLayers':
    case 'mustNotRunLayers':
      return forbid(chain, demands, constraint)
    case 'firstLayersOnDevice':
      demands.firstLayers = Math.max(demands.firstLayers, constraint.count)
      return
    case 'tensorOnDevice':
      demands.firstLayers = Math.max(demands.firstLayers, makerOf(constraint.tensor) + 1)
      return
    case 'minStages':
      demands.minStages = Math.max(demands.minStages, constraint.count)
      return
    case 'maxStages':
      demands.maxStages = Math.min(demands.maxStages, constraint.count)
      return
    case 'codecs':
      chain.codecs.forEach(({ name }, at) => {
        if (name !== 'none' && !constraint.codecs.includes(name)) demands.codecs[at] = 0
      })
      return
    case 'cuts':
      demands.clean = true
      return
    case 'confidence':
      // Another chain: see solver.ts.
      return
    default:
      return limit(chain, demands, constraint)
  }
}

function limit(chain: Chain, demands: Demands, constraint: Extract<Constraint, { limit: number }>): void {
  const { kind, limit: most } = constraint
  const budget = (of: BudgetKind, rank = -1) => demands.budgets.push({ kind: of, limit: most, rank })
  const tier = (at: number) => 'name' in constraint && chain.resources[at]!.tier === constraint.name
  const resource = (at: number) => 'name' in constraint && chain.resources[at]!.name === constraint.name
  switch (kind) {
    case 'maxTierMs':
      return lower(demands.maxStageMs, most, tier)
    case 'maxUploadBytes':
      return lower(demands.maxUploadBytes, most, tier)
    case 'maxMemoryBytes':
      return lower(demands.maxMemoryBytes, most, resource)
    case 'maxTierShare':
      budget('share', chain.tiers.indexOf(constraint.name))
      return
    case 'maxAccuracyLoss':
      demands.maxLoss = Math.min(demands.maxLoss, most)
      // Nothing can lose more than everything, and a limit of 0 is one on every hop.
      if (most > 0 && most < 1) budget('loss')
      return
    case 'minThroughput':
      demands.maxStepMs = Math.min(demands.maxStepMs, 1000 / most)
      return
    default:
      budget(BUDGETS[kind])
  }
}

/** Limits on sums over the whole plan. */
const BUDGETS = {
  maxTotalUploadBytes: 'bytes',
  maxLatencyMs: 'latency',
  maxEnergyJ: 'energy',
  maxPrice: 'price',
} as const

function mustUse(chain: Chain, demands: Demands, name: string): void {
  const wanted = chain.resources.find((resource) => resource.name === name)
  // One that was left out cannot be used: then nothing may run at all.
  if (wanted) demands.required[wanted.rank] = true
  chain.resources.forEach((other, at) => {
    if (other !== wanted && (!wanted || other.rank === wanted.rank)) demands.usable[at] = 0
  })
}

function forbid(
  chain: Chain,
  demands: Demands,
  { kind, tier, from, to }: Extract<Constraint, { tier: string }>,
): void {
  chain.resources.forEach((resource, at) => {
    if ((resource.tier === tier) !== (kind === 'mustNotRunLayers')) return
    demands.forbidden[at] ??= new Uint8Array(chain.layers)
    demands.forbidden[at].fill(1, from, to)
  })
}

function lower(limits: Float64Array, limit: number, isMeant: (at: number) => boolean): void {
  for (let at = 0; at < limits.length; at += 1) if (isMeant(at)) limits[at] = Math.min(limits[at]!, limit)
}
