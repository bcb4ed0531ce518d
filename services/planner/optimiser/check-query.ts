/** Refuses queries that no problem of this kind can answer; what merely cannot be satisfied is conflict.ts's. */
import { ScissionError } from '../../../shared/errors.ts'
import { type OptimiserQuery, parsePin } from './constraints.ts'
import { checkKnown } from './names.ts'
import type { Problem } from './problem.ts'

/** @throws ScissionError notFound for names that do not exist, badRequest for numbers that cannot be met. */
export function checkQuery(problem: Problem, query: OptimiserQuery): void {
  checkNames(problem, query)
  const layers = problem.structure.layers.length
  checkCount('top', query.top, 1, 1000)
  checkCount('firstLayersOnDevice', query.firstLayersOnDevice, 0, layers)
  checkCount('minStages', query.minStages, 1, 100)
  checkCount('maxStages', query.maxStages, query.minStages ?? 1, 100)
  for (const field of ['mustRunLayers', 'mustNotRunLayers'] as const)
    for (const text of query[field] ?? []) checkPin(field, text, layers)
  for (const field of ['maxTierMs', 'maxUploadBytes', 'maxMemoryBytes'] as const)
    for (const [name, limit] of Object.entries(query[field] ?? {}))
      if (!(limit >= 0 && limit < Infinity)) throw bad(field, `${name} must be 0 or more, got: ${limit}`)
  for (const field of ['maxLatencyMs', 'minThroughput'] as const) {
    const limit = query[field]
    if (limit !== undefined && !(limit > 0 && limit < Infinity))
      throw bad(field, `must be above 0, got: ${limit}`)
  }
}

function checkNames(problem: Problem, query: OptimiserQuery): void {
  const resources = problem.resources.map((resource) => resource.name).sort()
  const tiers = [...new Set(problem.resources.map((resource) => resource.tier))].sort()
  checkKnown('source', 'resource', query.source === undefined ? [] : [query.source], resources)
  for (const field of ['mustUseTiers', 'mustNotUseTiers'] as const)
    checkKnown(field, 'tier', query[field] ?? [], tiers)
  for (const field of ['mustUseResources', 'mustNotUseResources'] as const)
    checkKnown(field, 'resource', query[field] ?? [], resources)
  for (const field of ['maxTierMs', 'maxUploadBytes'] as const)
    checkKnown(field, 'tier', Object.keys(query[field] ?? {}), tiers)
  checkKnown('maxMemoryBytes', 'resource', Object.keys(query.maxMemoryBytes ?? {}), resources)
  for (const field of ['mustRunLayers', 'mustNotRunLayers'] as const) {
    const named = (query[field] ?? []).map((text) => parsePin(text).tier)
    checkKnown(field, 'tier', named, tiers)
  }
}

function checkPin(field: string, text: string, layers: number): void {
  const { from, to } = parsePin(text)
  if (Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= layers) return
  const message = `"${text}" must be <layer>:<tier> or <from>-<to>:<tier> with 0 ≤ from < to ≤ ${layers}`
  throw new ScissionError('badRequest', `${field}: ${message}`, { field, allowed: [0, layers] })
}

function checkCount(field: string, count: number | undefined, least: number, most: number): void {
  if (count === undefined || (Number.isInteger(count) && count >= least && count <= most)) return
  const message = `${field} must be a whole number from ${least} to ${most}, got: ${count}`
  throw new ScissionError('badRequest', message, { field, allowed: [least, most] })
}

function bad(field: string, message: string): ScissionError {
  return new ScissionError('badRequest', `${field}: ${message}`, { field })
}
