/**
 * A query as the constraints that it is made of, in the words of an answer, and back. Written again on purpose, from
 * docs/reference/plan-query.md and not from the optimiser's own list (constraints.ts): a constraint that it forgets is missed here.
 */
import type { OptimiserQuery, Problem } from '../../shared/planning/index.ts'
import { FREE } from './problems.ts'

const LISTS = [
  'mustUseTiers',
  'mustNotUseTiers',
  'mustUseResources',
  'mustNotUseResources',
  'mustRunLayers',
  'mustNotRunLayers',
] as const
const COUNTS = [
  'firstLayersOnDevice',
  'minStages',
  'maxStages',
  'maxLatencyMs',
  'minThroughput',
  'maxTotalUploadBytes',
  'maxEnergyJ',
  'maxPrice',
  'maxAccuracyLoss',
] as const
const RECORDS = ['maxTierMs', 'maxTierShare', 'maxUploadBytes', 'maxMemoryBytes'] as const

/** The constraints of the graph view; KINDS below are those of the chain view. */
export const GRAPH_KINDS = [
  ...LISTS,
  ...RECORDS,
  ...COUNTS.filter((kind) => kind !== 'maxAccuracyLoss'),
  'tensorOnDevice',
] as const
export const KINDS = [...GRAPH_KINDS, 'codecs'] as const

/** The query with only the described constraints: `minStages: 2`, `mustUseTiers: edge`, … */
export function queryOf(given: OptimiserQuery, described: readonly string[]): OptimiserQuery {
  const { source, objective, weights } = given
  const { busyWatts, idleWatts, transmitWatts, pricePerSecond, pricePerGb } = given
  const figures = { busyWatts, idleWatts, transmitWatts, pricePerSecond, pricePerGb }
  const free = { ...FREE, objective, weights, source, cuts: 'any' as const, maxAccuracyLoss: 1 }
  const query: OptimiserQuery = { ...free, ...figures }
  for (const text of described) {
    const [field, value = ''] = text.split(': ')
    for (const list of LISTS) if (field === list) query[list] = [...(query[list] ?? []), value]
    for (const count of COUNTS) if (field === count) query[count] = Number(value)
    const [name = '', limit] = value.split(':')
    for (const record of RECORDS)
      if (field === record) query[record] = { ...query[record], [name]: Number(limit) }
    if (field === 'cuts') query.cuts = 'clean'
    if (field === 'confidence') query.confidence = 'upper'
    if (field === 'tensorOnDevice') query.tensorOnDevice = value
    if (field === 'codecs') query.codecs = value.split(',')
  }
  return query
}

export function described(problem: Problem, query: OptimiserQuery): string[] {
  const lossy = problem.codecs?.some(({ cells }) => cells.some(({ accuracyLoss }) => accuracyLoss > 0))
  const given = { ...query, maxAccuracyLoss: lossy ? (query.maxAccuracyLoss ?? 0) : undefined }
  return [
    ...LISTS.flatMap((list) => [...new Set(query[list])].map((name) => `${list}: ${shortPin(name)}`)),
    ...COUNTS.flatMap((count) => (given[count] === undefined ? [] : [`${count}: ${given[count]}`])),
    ...RECORDS.flatMap((record) =>
      Object.entries(query[record] ?? {}).map(([name, limit]) => `${record}: ${name}:${limit}`),
    ),
    ...(query.tensorOnDevice === undefined ? [] : [`tensorOnDevice: ${query.tensorOnDevice}`]),
    ...(query.codecs === undefined ? [] : [`codecs: ${query.codecs.join() || 'none'}`]),
    ...(query.confidence === 'upper' ? ['confidence: upper'] : []),
    ...(query.cuts === 'clean' ? ['cuts: clean'] : []),
  ]
}

/**
 * Whether the demand can be dropped without a plan less: not the bound of the times beside limits on shares of them,
 * which are other shares without it.
 */
export function isDroppable(one: string, all: readonly string[]): boolean {
  return one !== 'confidence: upper' || !all.some((other) => other.startsWith('maxTierShare'))
}

/** `4-5:edge` is layer 4, and said so. */
function shortPin(text: string): string {
  const [, from = '', to = '', tier = ''] = /^(\d+)-(\d+):(.*)$/.exec(text) ?? []
  return to !== '' && Number(to) === Number(from) + 1 ? `${from}:${tier}` : text
}

/** A change that an answer names: `without cuts: clean`, `with maxTierMs of edge at least 12.5`. */
export interface Change {
  field: string
  /** Name of the tier or resource that is limited. */
  name: string
  /** Undefined: the constraint is dropped. */
  value: number | undefined
  text: string
}

export function changesIn(remedy: string): Change[] {
  return remedy.split(/ and (?=with )| and (?=without )/).map((text) => {
    const [, field = '', name = '', value = ''] =
      /^with (\w+)(?: of (\S+))? at (?:most|least) (\S+)$/.exec(text) ?? []
    if (field !== '') return { field, name, value: Number(value), text }
    return { field: /^without (\w+)/.exec(text)?.[1] ?? '', name: '', value: undefined, text }
  })
}

/** The constraints after the change. */
export function changed(all: readonly string[], change: Change): string[] {
  const { value, text } = change
  if (value === undefined) return all.filter((one) => `without ${one}` !== text)
  return all.map((one) => (isOf(change, one) ? `${prefixOf(change)}${value}` : one))
}

/** The constraints without the one that the change is about. */
export function dropped(all: readonly string[], change: Change): string[] {
  return all.filter((one) => !isOf(change, one))
}

/** Whether the constraint is the one that the change is about. */
export function isOf(change: Change, one: string): boolean {
  return change.value === undefined ? change.text === `without ${one}` : one.startsWith(prefixOf(change))
}

function prefixOf({ field, name }: Change): string {
  return name === '' ? `${field}: ` : `${field}: ${name}:`
}

/** A slightly smaller change; undefined if there is none between it and the original constraint. */
export function short({ value = 0, ...change }: Change): Change | undefined {
  const { field } = change
  if (['firstLayersOnDevice', 'minStages', 'maxStages'].includes(field))
    return { ...change, value: field === 'maxStages' ? value - 1 : value + 1 }
  if (value === 0) return undefined
  return { ...change, value: value * (field === 'minThroughput' ? 1.01 : 0.99) }
}
