/**
 * Queries: their checks, and their constraints one by one, so that each can be named, dropped and tried without the others
 * when no plan satisfies them all (explain/conflict.ts).
 */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import { OBJECTIVES, type Plan, type PlanQuery } from '../../contracts/plan.ts'
import type { WhatIf } from '../../contracts/what-if-fields.ts'
import { ScissionError } from '../../platform/errors.ts'
import { checkFigures } from '../problem/check-problem.ts'
import { figuresFor, hasPrices, hasWatts, sum } from '../problem/figures.ts'
import { checkKnown, FIGURES, type PlanningResource, type Problem } from '../problem/problem.ts'

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

/** True for a constraint that also holds if the query does not name it. */
export function isDefault(constraint: Constraint): boolean {
  return constraint.kind === 'cuts' || (constraint.kind === 'maxAccuracyLoss' && constraint.limit === 0)
}

/** The constraint as the user wrote it: `mustUseTiers: edge`, `maxTierMs: device:20`, `mustRunLayers: 0-5:device`. */
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

/** `7:edge` → layers [7, 8), `0-5:device` → [0, 5). @param text matches the contract's pattern. */
function parsePin(text: string): { from: number; to: number; tier: string } {
  const [layers = '', tier = ''] = text.split(':')
  const [from, to] = layers.split('-').map(Number)
  return { from: from ?? NaN, to: to ?? (from ?? NaN) + 1, tier }
}

/** The value of a plan, of either view, that a limit constraint bounds: the tightest limit that the plan keeps. */
export function limitKeptBy(
  plan: Plan | GraphPlan,
  constraint: LimitConstraint,
  resources: readonly Pick<PlanningResource, 'name' | 'tier'>[],
): number {
  switch (constraint.kind) {
    case 'maxTierMs':
      return tierMs(plan, constraint.name)
    case 'maxTierShare':
      return plan.computeMs > 0 ? (100 * tierMs(plan, constraint.name)) / plan.computeMs : 0
    case 'maxUploadBytes':
      return sentFrom(plan, (name) =>
        resources.some((one) => one.name === name && one.tier === constraint.name),
      )
    case 'maxMemoryBytes':
      return sum(
        plan.stages.map(({ resource, memoryBytes }) => (resource === constraint.name ? memoryBytes : 0)),
      )
    case 'maxTotalUploadBytes':
      return plan.bytes
    case 'maxLatencyMs':
      return plan.predictedMs
    case 'minThroughput':
      return 1000 / plan.bottleneckMs
    case 'maxEnergyJ':
      return plan.energyJ ?? 0
    case 'maxPrice':
      return plan.price ?? 0
    case 'maxAccuracyLoss':
      return 'accuracyLoss' in plan ? plan.accuracyLoss : 0
  }
}

/** ms of compute on a tier. */
function tierMs({ stages }: Plan | GraphPlan, name: string): number {
  return sum(stages.map(({ tier, computeMs }) => (tier === name ? computeMs : 0)))
}

/** Bytes on the wire from the resources that are meant. */
function sentFrom({ transfers }: Plan | GraphPlan, isMeant: (resource: string) => boolean): number {
  return sum(
    transfers.map((transfer) => {
      const bytes = 'wireBytes' in transfer ? transfer.wireBytes : transfer.bytes
      return isMeant(transfer.from) ? bytes : 0
    }),
  )
}

/**
 * Refuses queries with unknown names or invalid numbers.
 * @throws ScissionError notFound for unknown names, badRequest for numbers out of range and missing figures.
 */
export function checkQuery(problem: Problem, query: OptimiserQuery): void {
  checkNames(problem, query)
  checkObjective(problem, query)
  const layers = problem.structure.layers.length
  checkCount('top', query.top, 1, 1000)
  checkCount('firstLayersOnDevice', query.firstLayersOnDevice, 0, layers)
  checkCount('minStages', query.minStages, 1, 100)
  checkCount('maxStages', query.maxStages, query.minStages ?? 1, 100)
  for (const field of ['mustRunLayers', 'mustNotRunLayers'] as const)
    for (const text of query[field] ?? []) checkPin(field, text, layers)
  for (const field of ['maxTierMs', 'maxUploadBytes', 'maxMemoryBytes'] as const)
    for (const [name, limit] of Object.entries(query[field] ?? {})) checkCost(field, limit, `${name} `)
  for (const [name, percent] of Object.entries(query.maxTierShare ?? {}))
    if (!(percent >= 0 && percent <= 100))
      throw bad('maxTierShare', `${name} must be from 0 to 100 percent, got: ${percent}`, [0, 100])
  for (const field of ['maxTotalUploadBytes', 'maxEnergyJ', 'maxPrice'] as const)
    checkCost(field, query[field])
  for (const field of ['maxLatencyMs', 'minThroughput', 'timeLimitMs'] as const) {
    const limit = query[field]
    if (limit !== undefined && !(limit > 0 && limit < Infinity))
      throw bad(field, `must be above 0, got: ${limit}`)
  }
  const loss = query.maxAccuracyLoss ?? 0
  if (!(loss >= 0 && loss <= 1)) throw bad('maxAccuracyLoss', `must be from 0 to 1, got: ${loss}`, [0, 1])
}

function checkNames(problem: Problem, query: OptimiserQuery): void {
  const resources = problem.resources.map((resource) => resource.name).sort()
  const tiers = [...new Set(problem.resources.map((resource) => resource.tier))].sort()
  checkKnown('source', 'resource', query.source === undefined ? [] : [query.source], resources)
  for (const field of ['mustUseTiers', 'mustNotUseTiers'] as const)
    checkKnown(field, 'tier', query[field] ?? [], tiers)
  for (const field of ['mustUseResources', 'mustNotUseResources'] as const)
    checkKnown(field, 'resource', query[field] ?? [], resources)
  for (const field of ['maxTierMs', 'maxTierShare', 'maxUploadBytes'] as const)
    checkKnown(field, 'tier', Object.keys(query[field] ?? {}), tiers)
  for (const field of ['maxMemoryBytes', ...FIGURES] as const)
    checkKnown(field, 'resource', Object.keys(query[field] ?? {}), resources)
  for (const field of ['mustRunLayers', 'mustNotRunLayers'] as const) {
    const named = (query[field] ?? []).map((text) => parsePin(text).tier)
    checkKnown(field, 'tier', named, tiers)
  }
  if (query.codecs) {
    const codecs = ['none', ...(problem.codecs ?? []).map(({ name }) => name)].sort()
    checkKnown('codecs', 'codec', query.codecs, codecs)
  }
  if (query.tensorOnDevice !== undefined)
    checkKnown('tensorOnDevice', 'tensor', [query.tensorOnDevice], tensorsOf(problem))
}

/** The model's inputs and the outputs of its layers. */
function tensorsOf({ structure: { layers, boundaries } }: Problem): string[] {
  const made = layers.flatMap((layer) => layer.outputs.map((output) => output.name))
  return [...(boundaries[0]?.tensors ?? []), ...made]
}

function checkObjective(problem: Problem, query: OptimiserQuery): void {
  checkFigures(query)
  const { objective, weights, pareto } = query
  if (pareto && (pareto.length < 2 || pareto.length > 4 || new Set(pareto).size < pareto.length))
    throw bad('pareto', `must be 2 to 4 different objectives, got: ${pareto.join(', ')}`, OBJECTIVES)
  if (objective === 'weighted' && !pareto && Object.values(weights ?? {}).every((weight) => !weight))
    throw bad('weights', 'the objective weighted needs a weight above 0', OBJECTIVES)
  for (const [name, weight] of Object.entries(weights ?? {})) checkCost('weights', weight, `${name} `)
  const given = figuresFor(problem, query)
  const wants = (one: 'energy' | 'price') =>
    pareto
      ? pareto.includes(one)
      : objective === one || (objective === 'weighted' && (weights?.[one] ?? 0) > 0)
  if ((wants('energy') || query.maxEnergyJ !== undefined) && !hasWatts(given))
    throw bad('busyWatts', 'energy needs watts: give busyWatts, idleWatts or transmitWatts by resource')
  if ((wants('price') || query.maxPrice !== undefined) && !hasPrices(given))
    throw bad('pricePerSecond', 'a price needs prices: give pricePerSecond or pricePerGb by resource')
}

function checkPin(field: string, text: string, layers: number): void {
  const { from, to } = parsePin(text)
  if (Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= layers) return
  const message = `"${text}" must be <layer>:<tier> or <from>-<to>:<tier> with 0 ≤ from < to ≤ ${layers}`
  throw bad(field, message, [0, layers])
}

function checkCost(field: string, limit: number | undefined, name = ''): void {
  if (limit !== undefined && !(limit >= 0 && limit < Infinity))
    throw bad(field, `${name}must be 0 or more, got: ${limit}`)
}

function checkCount(field: string, count: number | undefined, min: number, max: number): void {
  if (count === undefined || (Number.isInteger(count) && count >= min && count <= max)) return
  const message = `${field} must be a whole number from ${min} to ${max}, got: ${count}`
  throw new ScissionError('badRequest', message, { field, allowed: [min, max] })
}

function bad(field: string, message: string, allowed?: readonly (number | string)[]): ScissionError {
  return new ScissionError('badRequest', `${field}: ${message}`, { field, ...(allowed ? { allowed } : {}) })
}
