/**
 * The constraints of a query, in two forms. One by one, so that each can be named, dropped and tried without the others when
 * no plan satisfies them all (explain/conflict.ts). And as `SearchLimits`, the form that both views search with: which
 * resources may run a stage, which layers each may run, how long a stage and a step may take, how many stages there are, and
 * limits on sums over the plan.
 *
 * - A plan has at most one stage per tier. So a resource that must be used makes its tier required and excludes the
 *   other resources of the tier.
 * - The first k layers on the source mean: the source runs a stage, and no cut lies before boundary k.
 * - Layers that must run on a tier are forbidden on the resources of all other tiers.
 */
import type { PlanQuery } from '../../contracts/plan.ts'
import type { WhatIf } from '../../contracts/what-if-fields.ts'
import type { PlanningStructure } from '../problem/problem.ts'

const NAMED = ['mustUseTiers', 'mustNotUseTiers', 'mustUseResources', 'mustNotUseResources'] as const
const COUNTED = ['firstLayersOnDevice', 'minStages', 'maxStages'] as const
const PINNED = ['mustRunLayers', 'mustNotRunLayers'] as const
const LIMITED_BY_NAME = ['maxTierMs', 'maxTierShare', 'maxUploadBytes', 'maxMemoryBytes'] as const
const LIMITED = [
  'maxTotalUploadBytes',
  'maxLatencyMs',
  'minThroughput',
  'maxEnergyJ',
  'maxPrice',
  'maxAccuracyLoss',
] as const

/** The settings of a machine that set what it refuses to serve. */
export const SERVING_SETTINGS = {
  maxMessageBytes: 'SCISSION_BODY_MEMORY_BYTES',
  maxStageBytes: 'SCISSION_TRIAL_MEMORY_BYTES',
} as const

export type Constraint =
  | { kind: (typeof NAMED)[number]; name: string }
  | { kind: (typeof COUNTED)[number]; count: number }
  | { kind: 'tensorOnDevice'; tensor: string }
  /** Layers from..to-1. */
  | { kind: (typeof PINNED)[number]; tier: string; from: number; to: number }
  | { kind: (typeof LIMITED_BY_NAME)[number]; name: string; limit: number }
  | { kind: (typeof LIMITED)[number]; limit: number }
  /** Of a machine, not of a query: serving-limits.ts. */
  | { kind: keyof typeof SERVING_SETTINGS; name: string; limit: number }
  | { kind: 'codecs'; codecs: NonNullable<PlanQuery['codecs']> }
  | { kind: 'confidence'; confidence: 'upper' }
  | { kind: 'cuts'; cuts: 'clean' }

/** A constraint with a limit on a number. */
export type LimitConstraint = Extract<Constraint, { limit: number }>

/** The part of a plan query that the optimiser answers; the other fields say which problem is meant. */
export type OptimiserQuery = Pick<PlanQuery, 'objective' | 'top' | 'cuts'> &
  Partial<Omit<PlanQuery, 'model' | 'inputShapes' | 'view' | keyof WhatIf>>

/**
 * The constraints of a query, in a fixed order. `cuts: any` and `firstLayersOnDevice: 0` constrain nothing.
 * @param lossy whether some codec spoils answers; otherwise `maxAccuracyLoss` is no constraint.
 */
export function constraintsOf(query: OptimiserQuery, lossy = false): Constraint[] {
  const constraints: Constraint[] = []
  for (const kind of NAMED) for (const name of new Set(query[kind])) constraints.push({ kind, name })
  for (const kind of COUNTED) {
    const count = query[kind]
    const least = { firstLayersOnDevice: 1, minStages: 2, maxStages: 1 }[kind]
    if (count !== undefined && count >= least) constraints.push({ kind, count })
  }
  if (query.tensorOnDevice !== undefined)
    constraints.push({ kind: 'tensorOnDevice', tensor: query.tensorOnDevice })
  for (const kind of PINNED)
    for (const text of new Set(query[kind])) constraints.push({ kind, ...parsePin(text) })
  for (const kind of LIMITED_BY_NAME)
    for (const [name, limit] of Object.entries(query[kind] ?? {})) constraints.push({ kind, name, limit })
  for (const kind of LIMITED) {
    const limit = kind === 'maxAccuracyLoss' ? (lossy ? (query[kind] ?? 0) : undefined) : query[kind]
    if (limit !== undefined) constraints.push({ kind, limit })
  }
  if (query.codecs) constraints.push({ kind: 'codecs', codecs: query.codecs })
  if (query.confidence === 'upper') constraints.push({ kind: 'confidence', confidence: 'upper' })
  if (query.cuts === 'clean') constraints.push({ kind: 'cuts', cuts: 'clean' })
  return constraints
}

/** The bound of the plan's numbers that the constraints ask for. */
export function confidenceOf(constraints: readonly Constraint[]): 'median' | 'upper' {
  return constraints.some(({ kind }) => kind === 'confidence') ? 'upper' : 'median'
}

/** True for a constraint that also holds if the query does not name it. */
export function isDefault(constraint: Constraint): boolean {
  return constraint.kind === 'cuts' || (constraint.kind === 'maxAccuracyLoss' && constraint.limit === 0)
}

/** The constraint as the user wrote it: `mustUseTiers: edge`, `maxTierMs: device:20`, `mustRunLayers: 0-5:device`. */
export function describe(constraint: Constraint): string {
  if (constraint.kind === 'maxMessageBytes' || constraint.kind === 'maxStageBytes')
    return `${constraint.kind}: ${valueOf(constraint)} (${SERVING_SETTINGS[constraint.kind]} of ${constraint.name})`
  return `${constraint.kind}: ${valueOf(constraint)}`
}

function valueOf(constraint: Constraint): string | number {
  switch (constraint.kind) {
    case 'tensorOnDevice':
      return constraint.tensor
    case 'codecs':
      return constraint.codecs.length === 0 ? 'none' : constraint.codecs.join(',')
    case 'confidence':
      return constraint.confidence
    case 'cuts':
      return constraint.cuts
    default:
      return limitText(constraint)
  }
}

function limitText(
  constraint: Exclude<Constraint, { kind: 'tensorOnDevice' | 'codecs' | 'confidence' | 'cuts' }>,
): string | number {
  if ('tier' in constraint) return pinText(constraint)
  if ('name' in constraint)
    return 'limit' in constraint ? `${constraint.name}:${constraint.limit}` : constraint.name
  return 'count' in constraint ? constraint.count : constraint.limit
}

function pinText({ from, to, tier }: { from: number; to: number; tier: string }): string {
  return to === from + 1 ? `${from}:${tier}` : `${from}-${to}:${tier}`
}

/** `7:edge` → layers [7, 8), `0-5:device` → [0, 5). @param text matches the contract's pattern. */
export function parsePin(text: string): { from: number; to: number; tier: string } {
  const [layers = '', tier = ''] = text.split(':')
  const [from, to] = layers.split('-').map(Number)
  return { from: from ?? NaN, to: to ?? (from ?? NaN) + 1, tier }
}

/** Sums over a plan that can have a limit. */
export type SumKind = 'latency' | 'bytes' | 'energy' | 'price' | 'loss' | 'share'

/** `limit` in ms, bytes, joules, price, share of answers; for `share` in percent of the compute time on tier `rank`. */
export interface SumLimit {
  kind: SumKind
  limit: number
  rank: number
}

export interface SearchLimits {
  /** Per resource: 1 if it may run a stage. */
  usable: Uint8Array
  /** Per rank: true if the tier must run a stage. */
  required: boolean[]
  /** Per resource: 1 for each layer that it must not run; undefined if it may run all. */
  forbidden: (Uint8Array | undefined)[]
  /** Per resource: most ms of compute of its stage. */
  maxStageMs: Float64Array
  /** Per resource: most bytes of weights and activations. */
  maxMemoryBytes: Float64Array
  /** Per resource: longest message that it takes. */
  maxMessageBytes: Float64Array
  /** Per resource: most bytes on the wire that it may send. */
  maxUploadBytes: Float64Array
  /** Most ms of a step: the work of a resource, or a transfer there and back. */
  maxStepMs: number
  /** Layers 0..firstLayers-1 run on the source. */
  firstLayers: number
  minStages: number
  maxStages: number
  /** True if only clean cuts are allowed. */
  clean: boolean
  /** Per codec: 1 if it may be used. */
  codecs: Uint8Array
  /** Most accuracy loss of one hop, 0..1. */
  maxLoss: number
  sumLimits: SumLimit[]
}

/** The resources, tiers and codecs that the arrays of `SearchLimits` are indexed by. */
export interface LimitIndex {
  structure: PlanningStructure
  /** `rank`: index of the tier. `runners`: its profiles; a resource without one cannot run a stage. */
  resources: readonly { name: string; tier: string; rank: number; runners: readonly unknown[] }[]
  tiers: readonly string[]
  codecs: readonly { name: string }[]
}

/** Relative size of differences between sums in different orders: they do not break a limit. */
export const ROUNDING = 1e-12

/** A limit with its allowance for rounding. */
export function upTo(limit: number): number {
  return limit + Math.abs(limit) * ROUNDING
}

/** @param constraints may contradict each other: then no plan keeps the limits. */
export function searchLimitsOf(index: LimitIndex, constraints: readonly Constraint[]): SearchLimits {
  const { resources, tiers, codecs } = index
  const limits: SearchLimits = {
    usable: Uint8Array.from(resources, ({ runners }) => Number(runners.length > 0)),
    required: tiers.map(() => false),
    forbidden: resources.map(() => undefined),
    maxStageMs: new Float64Array(resources.length).fill(Infinity),
    maxMemoryBytes: new Float64Array(resources.length).fill(Infinity),
    maxMessageBytes: new Float64Array(resources.length).fill(Infinity),
    maxUploadBytes: new Float64Array(resources.length).fill(Infinity),
    maxStepMs: Infinity,
    firstLayers: 0,
    minStages: 1,
    maxStages: tiers.length,
    clean: false,
    codecs: new Uint8Array(codecs.length).fill(1),
    maxLoss: 1,
    sumLimits: [],
  }
  for (const constraint of constraints) apply(index, limits, constraint)
  return limits
}

function apply(index: LimitIndex, limits: SearchLimits, constraint: Constraint): void {
  switch (constraint.kind) {
    case 'mustUseTiers':
      limits.required[index.tiers.indexOf(constraint.name)] = true
      return
    case 'mustUseResources':
      return mustUse(index, limits, constraint.name)
    case 'mustNotUseTiers':
    case 'mustNotUseResources':
      for (const [at, { name, tier }] of index.resources.entries())
        if (constraint.name === (constraint.kind === 'mustNotUseTiers' ? tier : name)) limits.usable[at] = 0
      return
    case 'mustRunLayers':
    case 'mustNotRunLayers':
      return forbid(index, limits, constraint)
    case 'firstLayersOnDevice':
      limits.firstLayers = Math.max(limits.firstLayers, constraint.count)
      return
    case 'tensorOnDevice':
      limits.firstLayers = Math.max(limits.firstLayers, makerOf(index.structure, constraint.tensor) + 1)
      return
    case 'minStages':
      limits.minStages = Math.max(limits.minStages, constraint.count)
      return
    case 'maxStages':
      limits.maxStages = Math.min(limits.maxStages, constraint.count)
      return
    case 'codecs':
      index.codecs.forEach(({ name }, at) => {
        if (name !== 'none' && !constraint.codecs.includes(name)) limits.codecs[at] = 0
      })
      return
    case 'cuts':
      limits.clean = true
      return
    case 'confidence':
      // Changes the costs, not the limits: each view compiles the problem at the bound.
      return
    default:
      return applyLimit(index, limits, constraint)
  }
}

/** Index of the layer that makes a tensor; −1 for an input of the model. */
function makerOf({ layers }: PlanningStructure, tensor: string): number {
  return layers.findLastIndex(({ outputs }) => outputs.some(({ name }) => name === tensor))
}

function applyLimit(index: LimitIndex, limits: SearchLimits, constraint: LimitConstraint): void {
  const { kind, limit } = constraint
  const addSum = (of: SumKind, rank = -1) => limits.sumLimits.push({ kind: of, limit, rank })
  const tier = (at: number) => 'name' in constraint && index.resources[at]!.tier === constraint.name
  const resource = (at: number) => 'name' in constraint && index.resources[at]!.name === constraint.name
  switch (kind) {
    case 'maxTierMs':
      return lower(limits.maxStageMs, limit, tier)
    case 'maxUploadBytes':
      return lower(limits.maxUploadBytes, limit, tier)
    case 'maxMemoryBytes':
    case 'maxStageBytes':
      return lower(limits.maxMemoryBytes, limit, resource)
    case 'maxMessageBytes':
      return lower(limits.maxMessageBytes, limit, resource)
    case 'maxTierShare':
      addSum('share', index.tiers.indexOf(constraint.name))
      return
    case 'maxAccuracyLoss':
      limits.maxLoss = Math.min(limits.maxLoss, limit)
      // A limit of 1 excludes nothing, and a limit of 0 is kept if every hop keeps it.
      if (limit > 0 && limit < 1) addSum('loss')
      return
    case 'minThroughput':
      limits.maxStepMs = Math.min(limits.maxStepMs, 1000 / limit)
      return
    default:
      addSum(SUMS[kind])
  }
}

/** Constraints that limit a sum over the whole plan. */
const SUMS = {
  maxTotalUploadBytes: 'bytes',
  maxLatencyMs: 'latency',
  maxEnergyJ: 'energy',
  maxPrice: 'price',
} as const

function mustUse({ resources }: LimitIndex, limits: SearchLimits, name: string): void {
  const wanted = resources.find((resource) => resource.name === name)
  // A resource that was left out cannot be used: then nothing may run at all.
  if (wanted) limits.required[wanted.rank] = true
  resources.forEach((other, at) => {
    if (other !== wanted && (!wanted || other.rank === wanted.rank)) limits.usable[at] = 0
  })
}

function forbid(
  { resources, structure }: LimitIndex,
  limits: SearchLimits,
  { kind, tier, from, to }: Extract<Constraint, { tier: string }>,
): void {
  resources.forEach((resource, at) => {
    if ((resource.tier === tier) !== (kind === 'mustNotRunLayers')) return
    limits.forbidden[at] ??= new Uint8Array(structure.layers.length)
    limits.forbidden[at].fill(1, from, to)
  })
}

function lower(limits: Float64Array, limit: number, isMeant: (at: number) => boolean): void {
  for (let at = 0; at < limits.length; at += 1) if (isMeant(at)) limits[at] = Math.min(limits[at]!, limit)
}
