/**
 * The constraints of a query as a list of single demands, so that each can be named, dropped and tried without the
 * others when no plan satisfies them all (conflict.ts).
 */
import type { PlanQuery } from '../../../shared/contracts/plan.ts'
import type { WhatIf } from '../../../shared/contracts/what-if-fields.ts'

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

export type Constraint =
  | { kind: (typeof NAMED)[number]; name: string }
  | { kind: (typeof COUNTED)[number]; count: number }
  | { kind: 'tensorOnDevice'; tensor: string }
  /** Layers from..to-1. */
  | { kind: (typeof PINNED)[number]; tier: string; from: number; to: number }
  | { kind: (typeof LIMITED_BY_NAME)[number]; name: string; limit: number }
  | { kind: (typeof LIMITED)[number]; limit: number }
  | { kind: 'codecs'; codecs: NonNullable<PlanQuery['codecs']> }
  | { kind: 'confidence'; confidence: 'upper' }
  | { kind: 'cuts'; cuts: 'clean' }

/** The part of a plan query that the optimiser answers; the rest says which problem is meant. */
export type OptimiserQuery = Pick<PlanQuery, 'objective' | 'top' | 'cuts'> &
  Partial<Omit<PlanQuery, 'model' | 'inputShapes' | 'view' | keyof WhatIf>>

/**
 * The query's demands; `cuts: any` and `firstLayersOnDevice: 0` demand nothing.
 * @param lossy whether there are codecs that spoil answers: else the limit on that is none.
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

type Demand = Exclude<Constraint['kind'], 'confidence' | 'cuts' | 'maxAccuracyLoss'>

const NOTHING_DEMANDED = {
  mustUseTiers: undefined,
  mustNotUseTiers: undefined,
  mustUseResources: undefined,
  mustNotUseResources: undefined,
  firstLayersOnDevice: undefined,
  minStages: undefined,
  maxStages: undefined,
  mustRunLayers: undefined,
  mustNotRunLayers: undefined,
  maxTierMs: undefined,
  maxTierShare: undefined,
  maxUploadBytes: undefined,
  maxMemoryBytes: undefined,
  maxTotalUploadBytes: undefined,
  maxLatencyMs: undefined,
  minThroughput: undefined,
  maxEnergyJ: undefined,
  maxPrice: undefined,
  tensorOnDevice: undefined,
  codecs: undefined,
  confidence: 'median',
  cuts: 'any',
  maxAccuracyLoss: 1,
} as const satisfies Record<Demand, undefined> & Partial<OptimiserQuery>

/** The query with these demands and no others: `constraintsOf` reads them back. */
export function demanding<Q extends OptimiserQuery>(query: Q, constraints: readonly Constraint[]): Q {
  const asked: Q = { ...query, ...NOTHING_DEMANDED }
  for (const constraint of constraints) demand(asked, constraint)
  return asked
}

function demand(query: OptimiserQuery, constraint: Constraint): void {
  switch (constraint.kind) {
    case 'mustUseTiers':
    case 'mustNotUseTiers':
    case 'mustUseResources':
    case 'mustNotUseResources':
      query[constraint.kind] = [...(query[constraint.kind] ?? []), constraint.name]
      return
    case 'mustRunLayers':
    case 'mustNotRunLayers':
      query[constraint.kind] = [...(query[constraint.kind] ?? []), pinText(constraint)]
      return
    case 'firstLayersOnDevice':
    case 'minStages':
    case 'maxStages':
      query[constraint.kind] = constraint.count
      return
    case 'tensorOnDevice':
      query.tensorOnDevice = constraint.tensor
      return
    case 'codecs':
      query.codecs = [...constraint.codecs]
      return
    case 'confidence':
      query.confidence = constraint.confidence
      return
    case 'cuts':
      query.cuts = constraint.cuts
      return
    default:
      return demandLimit(query, constraint)
  }
}

function demandLimit(query: OptimiserQuery, constraint: Extract<Constraint, { limit: number }>): void {
  if ('name' in constraint)
    query[constraint.kind] = { ...query[constraint.kind], [constraint.name]: constraint.limit }
  else query[constraint.kind] = constraint.limit
}

/** True for what holds unless the query says otherwise. */
export function isDefault(constraint: Constraint): boolean {
  return constraint.kind === 'cuts' || (constraint.kind === 'maxAccuracyLoss' && constraint.limit === 0)
}

/** As the user wrote it: `mustUseTiers: edge`, `maxTierMs: device:20`, `mustRunLayers: 0-5:device`. */
export function describe(constraint: Constraint): string {
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

/** `7:edge` → layers [7, 8), `0-5:device` → [0, 5). The contract's pattern holds. */
export function parsePin(text: string): { from: number; to: number; tier: string } {
  const [layers = '', tier = ''] = text.split(':')
  const [from, to] = layers.split('-').map(Number)
  return { from: from ?? NaN, to: to ?? (from ?? NaN) + 1, tier }
}
