/** Refuses queries that no problem of this kind can answer; what merely cannot be satisfied is conflict.ts's. */
import { OBJECTIVES } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import { type OptimiserQuery, parsePin } from './constraints.ts'
import { hasPrices, hasWatts } from '../problem/figures.ts'
import { checkKnown } from '../problem/names.ts'
import { checkFigures, FIGURES, type Figures, type Problem } from '../problem/problem.ts'

/** @throws ScissionError notFound for names that do not exist, badRequest for numbers that cannot be met. */
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

/** Inputs of the model and what its layers make. */
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
  const given: Figures = Object.fromEntries(
    FIGURES.map((field) => [field, query[field] ?? problem.figures?.[field]]),
  )
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

function checkCount(field: string, count: number | undefined, least: number, most: number): void {
  if (count === undefined || (Number.isInteger(count) && count >= least && count <= most)) return
  const message = `${field} must be a whole number from ${least} to ${most}, got: ${count}`
  throw new ScissionError('badRequest', message, { field, allowed: [least, most] })
}

function bad(field: string, message: string, allowed?: readonly (number | string)[]): ScissionError {
  return new ScissionError('badRequest', `${field}: ${message}`, { field, ...(allowed ? { allowed } : {}) })
}
