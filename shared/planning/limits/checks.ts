/** The checks that make a problem and a query safe to compute with. */
import { OBJECTIVES } from '../../contracts/plan.ts'
import { ScissionError } from '../../platform/errors.ts'
import {
  checkKnown,
  FIGURES,
  type Figures,
  figuresFor,
  hasPrices,
  hasWatts,
  optionsText,
  type PlanningLink,
  type PlanningProfile,
  type PlanningResource,
  type PlanningStructure,
  type Problem,
} from '../problem/problem.ts'
import { type OptimiserQuery, parsePin } from './constraints.ts'

const checked = new WeakSet<Problem>()

/**
 * Checks a problem object the first time it is seen; a changed problem must be a new object.
 * @throws ScissionError badRequest naming the field that cannot be planned with; notMeasured if there are no resources.
 */
export function checkProblem(problem: Problem): void {
  if (checked.has(problem)) return
  checkEverything(problem)
  checked.add(problem)
}

function checkEverything(problem: Problem): void {
  checkStructure(problem.structure)
  checkResources(problem.resources)
  for (const profile of problem.profiles) checkProfile(profile, problem.structure)
  checkUnique(
    'profiles of resource',
    problem.profiles.map(({ resource, options }) => `${resource}${optionsText(options)}`),
  )
  for (const link of problem.links) checkLink(link)
  checkUnique(
    'links',
    problem.links.map((link) => `${link.from} → ${link.to}`),
  )
  checkCodecs(problem)
  checkFigures(problem.figures ?? {})
}

function checkStructure({ layers, boundaries }: PlanningStructure): void {
  const expected = layers.length + 1
  const numbered = boundaries.length === expected && boundaries.every((boundary, k) => boundary.k === k)
  if (layers.length === 0) throw bad('structure.layers', 'the model has no layers: there is nothing to plan')
  if (!numbered)
    throw bad('structure.boundaries', `must be the boundaries 0..${layers.length}, got ${boundaries.length}`)
  const odd = boundaries.find(({ bytes }) => !isCost(bytes))
  if (odd) throw notACost(`structure.boundaries[${odd.k}].bytes`, odd.bytes)
}

function checkResources(resources: readonly PlanningResource[]): void {
  if (resources.length === 0)
    throw new ScissionError('notMeasured', 'there are no resources: start an inference service')
  checkUnique(
    'resources',
    resources.map((resource) => resource.name),
  )
  for (const one of resources) {
    if (!isAboveZero(one.slowdown)) throw notAboveZero(`slowdown of ${one.name}`, one.slowdown)
    const clash = resources.find((other) => (other.tier === one.tier) !== (other.tierIndex === one.tierIndex))
    if (clash)
      throw bad(
        'tierIndex',
        `${one.name} is in tier ${one.tier} at position ${one.tierIndex}, ${clash.name} in tier ${clash.tier} ` +
          `at position ${clash.tierIndex}: each tier needs one position of its own`,
      )
  }
}

function checkProfile(profile: PlanningProfile, structure: PlanningStructure): void {
  const name = `profile of ${profile.resource}`
  if (profile.model !== structure.model || profile.shapesKey !== structure.shapesKey)
    throw bad('profiles', `${name} is of model ${profile.model}.${profile.shapesKey}, not of the one planned`)
  if (profile.layerMs.length !== structure.layers.length)
    throw bad(
      'profiles',
      `${name} has ${profile.layerMs.length} layers, the model has ${structure.layers.length}`,
    )
  const odd = profile.layerMs.findIndex((value) => !isCost(value))
  if (odd >= 0) throw notACost(`${name}, layerMs[${odd}]`, profile.layerMs[odd])
  for (const field of ['enterMs', 'exitMs'] as const) checkCutCosts(name, field, profile[field], structure)
  const { relative = 0, fixedMs = 0 } = profile.interval ?? {}
  if (!isCost(relative)) throw notACost(`${name}, interval.relative`, relative)
  if (!isCost(fixedMs)) throw notACost(`${name}, interval.fixedMs`, fixedMs)
  if (!isCost(profile.callMs ?? 0)) throw notACost(`${name}, callMs`, profile.callMs)
  for (const field of ['ms', 'perMs'] as const)
    if (!isCost(profile.stops?.[field] ?? 0))
      throw notACost(`${name}, stops.${field}`, profile.stops?.[field])
  for (const { codec, encodeMsPerMb, decodeMsPerMb } of profile.codecs ?? [])
    if (!isCost(encodeMsPerMb) || !isCost(decodeMsPerMb))
      throw notACost(
        `${name}, speed of codec ${codec}`,
        isCost(encodeMsPerMb) ? decodeMsPerMb : encodeMsPerMb,
      )
}

/** enterMs and exitMs may be negative: two sessions can be faster than one. */
function checkCutCosts(
  name: string,
  field: 'enterMs' | 'exitMs',
  values: readonly number[] | undefined,
  { boundaries }: PlanningStructure,
): void {
  if (values === undefined) return
  if (values.length !== boundaries.length)
    throw bad(
      'profiles',
      `${name}, ${field} has ${values.length} entries, the model has ${boundaries.length} boundaries`,
    )
  const odd = values.findIndex((value) => !Number.isFinite(value))
  if (odd >= 0)
    throw bad('profiles', `${name}, ${field}[${odd}] must be a finite number, got: ${values[odd]}`)
}

function checkCodecs({ codecs = [], structure }: Problem): void {
  checkUnique(
    'codecs',
    codecs.map(({ name }) => name),
  )
  for (const { name, cells } of codecs)
    for (const { boundary, bytesRatio, accuracyLoss } of cells) {
      const where = `codec ${name} at boundary ${boundary}`
      if (structure.boundaries[boundary] === undefined)
        throw bad('codecs', `${where}: the model has boundaries 0..${structure.layers.length}`)
      if (!isCost(bytesRatio)) throw notACost(`bytesRatio of ${where}`, bytesRatio)
      if (!(accuracyLoss >= 0 && accuracyLoss <= 1))
        throw bad('codecs', `accuracyLoss of ${where} must be from 0 to 1, got: ${accuracyLoss}`)
    }
}

/** @throws ScissionError badRequest for a figure that is negative or not finite. */
function checkFigures(given: Figures): void {
  for (const field of FIGURES)
    for (const [resource, value] of Object.entries(given[field] ?? {}))
      if (!isCost(value)) throw notACost(`${field} of ${resource}`, value)
}

function checkLink(link: PlanningLink): void {
  const name = `link ${link.from} → ${link.to}`
  if (!isCost(link.rttMs)) throw notACost(`rttMs of ${name}`, link.rttMs)
  for (const field of ['bandwidthMbps', 'returnBandwidthMbps'] as const)
    if (!isAboveZero(link[field])) throw notAboveZero(`${field} of ${name}`, link[field])
  if (!isCost(link.perMessageMs ?? 0)) throw notACost(`perMessageMs of ${name}`, link.perMessageMs)
  if (!isCost(link.jitterMs ?? 0)) throw notACost(`jitterMs of ${name}`, link.jitterMs)
  for (const [field, width] of Object.entries(link.uncertainty ?? {}))
    if (!isCost(width ?? 0)) throw notACost(`uncertainty.${field} of ${name}`, width)
}

function checkUnique(what: string, names: readonly string[]): void {
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  if (twice !== undefined) throw bad(what, `${what} ${twice} given twice: which one counts?`)
}

function isCost(value: number): boolean {
  return Number.isFinite(value) && value >= 0
}

function isAboveZero(value: number): boolean {
  return Number.isFinite(value) && value > 0
}

function notACost(field: string, value: number | undefined): ScissionError {
  return bad(field, `${field} must be a finite number, 0 or more, got: ${value}`)
}

function notAboveZero(field: string, value: number): ScissionError {
  return bad(field, `${field} must be a finite number above 0, got: ${value}`)
}

function bad(field: string, message: string): ScissionError {
  return new ScissionError('badRequest', message, { field })
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
      throw badQuery('maxTierShare', `${name} must be from 0 to 100 percent, got: ${percent}`, [0, 100])
  for (const field of ['maxTotalUploadBytes', 'maxEnergyJ', 'maxPrice'] as const)
    checkCost(field, query[field])
  for (const field of ['maxLatencyMs', 'minThroughput', 'timeLimitMs'] as const) {
    const limit = query[field]
    if (limit !== undefined && !(limit > 0 && limit < Infinity))
      throw badQuery(field, `must be above 0, got: ${limit}`)
  }
  const loss = query.maxAccuracyLoss ?? 0
  if (!(loss >= 0 && loss <= 1))
    throw badQuery('maxAccuracyLoss', `must be from 0 to 1, got: ${loss}`, [0, 1])
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
    throw badQuery('pareto', `must be 2 to 4 different objectives, got: ${pareto.join(', ')}`, OBJECTIVES)
  if (objective === 'weighted' && !pareto && Object.values(weights ?? {}).every((weight) => !weight))
    throw badQuery('weights', 'the objective weighted needs a weight above 0', OBJECTIVES)
  for (const [name, weight] of Object.entries(weights ?? {})) checkCost('weights', weight, `${name} `)
  const given = figuresFor(problem, query)
  const wants = (one: 'energy' | 'price') =>
    pareto
      ? pareto.includes(one)
      : objective === one || (objective === 'weighted' && (weights?.[one] ?? 0) > 0)
  if ((wants('energy') || query.maxEnergyJ !== undefined) && !hasWatts(given))
    throw badQuery('busyWatts', 'energy needs watts: give busyWatts, idleWatts or transmitWatts by resource')
  if ((wants('price') || query.maxPrice !== undefined) && !hasPrices(given))
    throw badQuery('pricePerSecond', 'a price needs prices: give pricePerSecond or pricePerGb by resource')
}

function checkPin(field: string, text: string, layers: number): void {
  const { from, to } = parsePin(text)
  if (Number.isInteger(from) && Number.isInteger(to) && from >= 0 && from < to && to <= layers) return
  const message = `"${text}" must be <layer>:<tier> or <from>-<to>:<tier> with 0 ≤ from < to ≤ ${layers}`
  throw badQuery(field, message, [0, layers])
}

function checkCost(field: string, limit: number | undefined, name = ''): void {
  if (limit !== undefined && !(limit >= 0 && limit < Infinity))
    throw badQuery(field, `${name}must be 0 or more, got: ${limit}`)
}

function checkCount(field: string, count: number | undefined, min: number, max: number): void {
  if (count === undefined || (Number.isInteger(count) && count >= min && count <= max)) return
  const message = `${field} must be a whole number from ${min} to ${max}, got: ${count}`
  throw new ScissionError('badRequest', message, { field, allowed: [min, max] })
}

function badQuery(field: string, message: string, allowed?: readonly (number | string)[]): ScissionError {
  return new ScissionError('badRequest', `${field}: ${message}`, { field, ...(allowed ? { allowed } : {}) })
}
