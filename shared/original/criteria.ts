/**
 * The original's criteria (`-d 3,!10,raspi4`, limits) as a plan query of ours.
 *
 * Per tier, comma-separated: `3` must run there, `!10` must not, `-1` tier unused, `!-1` tier used, `name` tier used
 * and one of the named machines, `!name` tier used and not that machine. Digits are always a layer, even where a
 * machine is called `2500`. All criteria must hold.
 */
import type { PlanQuery } from '../contracts/plan.ts'
import { ScissionError } from '../platform/errors.ts'
import { type Block, TIERS, type Tier } from './data.ts'
import { DEFAULT_INPUT_BYTES, type ImportedResource } from './import.ts'

const BYTES_PER_MB = 1e6

/** As given on the command line. */
export interface OriginalOptions {
  device?: string | undefined
  edge?: string | undefined
  cloud?: string | undefined
  /** MB. */
  deviceUpload?: string | undefined
  edgeUpload?: string | undefined
  /** Seconds, or `20%` of the processing time (transfers not counted). */
  deviceTime?: string | undefined
  edgeTime?: string | undefined
  cloudTime?: string | undefined
  /** MB. */
  input?: string | undefined
  resultCount?: string | undefined
}

export interface TierCriteria {
  /** Keras layers that must run there; -1: the tier is not used. */
  layers: number[]
  notLayers: number[]
  names: string[]
  notNames: string[]
  /** Bytes it sends on. */
  maxUploadBytes?: number
  maxSeconds?: number
  /** Of the processing time. */
  maxPercent?: number
}

export interface Criteria {
  tiers: Record<Tier, TierCriteria>
  inputBytes: number
  count: number
}

/** @throws ScissionError badRequest naming the option. */
export function parseCriteria(options: OriginalOptions): Criteria {
  const tier = (name: Tier, upload: string | undefined, time: string | undefined): TierCriteria => ({
    ...parseList(options[name]),
    ...(upload !== undefined && { maxUploadBytes: megabytes(`--${name}-upload`, upload) }),
    ...(time !== undefined && parseTime(`--${name}-time`, time)),
  })
  const count = options.resultCount === undefined ? 5 : Number(options.resultCount)
  if (!Number.isInteger(count) || count < 1 || count > 1000)
    throw refuse('--result-count', 'a whole number from 1 to 1000', options.resultCount)
  return {
    tiers: {
      device: tier('device', options.deviceUpload, options.deviceTime),
      edge: tier('edge', options.edgeUpload, options.edgeTime),
      cloud: tier('cloud', undefined, options.cloudTime),
    },
    inputBytes: options.input === undefined ? DEFAULT_INPUT_BYTES : megabytes('--input', options.input),
    count,
  }
}

function parseList(text: string | undefined): TierCriteria {
  const criteria: TierCriteria = { layers: [], notLayers: [], names: [], notNames: [] }
  for (const part of (text ?? '').split(',').map((one) => one.trim())) {
    if (/^(\d+|-1)$/.test(part)) criteria.layers.push(Number(part))
    else if (/^!(\d+|-1)$/.test(part)) criteria.notLayers.push(Number(part.slice(1)))
    else if (part.startsWith('!')) criteria.notNames.push(part.slice(1))
    else if (part !== '') criteria.names.push(part)
  }
  return criteria
}

function megabytes(option: string, text: string): number {
  const value = text.trim() === '' ? NaN : Number(text)
  if (value >= 0 && value < Infinity) return Math.round(value * BYTES_PER_MB)
  throw refuse(option, 'MB, 0 or more', text)
}

function parseTime(option: string, text: string): Pick<TierCriteria, 'maxSeconds' | 'maxPercent'> {
  const isShare = text.endsWith('%')
  const number = isShare ? text.slice(0, -1) : text
  const value = number.trim() === '' ? NaN : Number(number)
  if (value >= 0 && value < Infinity) return isShare ? { maxPercent: value } : { maxSeconds: value }
  throw refuse(option, 'seconds, or a percentage such as 20%', text)
}

function refuse(option: string, allowed: string, given: string | undefined): ScissionError {
  return new ScissionError('badRequest', `${option}: must be ${allowed}, got: ${given}`, {
    field: option,
    allowed,
  })
}

/** The part of a plan query that criteria can set. */
export type CriteriaQuery = Pick<
  PlanQuery,
  | 'objective'
  | 'cuts'
  | 'top'
  | 'source'
  | 'mustUseTiers'
  | 'mustNotUseTiers'
  | 'mustNotUseResources'
  | 'mustRunLayers'
  | 'mustNotRunLayers'
  | 'maxUploadBytes'
  | 'maxTierMs'
  | 'maxTierShare'
>

/**
 * The query for one device, or undefined when nothing can satisfy the criteria: an unknown machine, a layer that does
 * not exist, or the named machines leave none.
 * @param device the source; of its tier only it takes part.
 * @param resources all machines.
 */
export function queryOf(
  criteria: Criteria,
  device: ImportedResource,
  resources: readonly ImportedResource[],
  blocks: readonly Block[],
): CriteriaQuery | undefined {
  const query = { ...emptyQuery(device.name, criteria.count) }
  for (const tier of TIERS) {
    const there = resources.filter((one) => (tier === 'device' ? one === device : one.tier === tier))
    if (!addTier(query, tier, criteria.tiers[tier], there, blocks)) return undefined
  }
  return query
}

function emptyQuery(source: string, top: number) {
  return {
    objective: 'latency' as const,
    cuts: 'any' as const,
    top,
    source,
    mustUseTiers: [] as string[],
    mustNotUseTiers: [] as string[],
    mustNotUseResources: [] as string[],
    mustRunLayers: [] as string[],
    mustNotRunLayers: [] as string[],
    maxUploadBytes: {} as Record<string, number>,
    maxTierMs: {} as Record<string, number>,
    maxTierShare: {} as Record<string, number>,
  }
}

/** Adds what a tier's criteria demand; false when no machine or layer can meet them. */
function addTier(
  query: ReturnType<typeof emptyQuery>,
  tier: Tier,
  criteria: TierCriteria,
  there: readonly ImportedResource[],
  blocks: readonly Block[],
): boolean {
  const { layers, notLayers, names, notNames } = criteria
  const used =
    [...names, ...notNames].length > 0 || layers.some((layer) => layer >= 0) || notLayers.includes(-1)
  // Without machines the tier has no name that the optimiser knows, and is not used.
  if (there.length === 0) return !used
  if (used) query.mustUseTiers.push(tier)
  if (layers.includes(-1)) query.mustNotUseTiers.push(tier)
  for (const layer of layers.filter((one) => one >= 0)) {
    const block = blockOf(blocks, layer)
    if (block < 0) return false
    query.mustRunLayers.push(`${block}:${tier}`)
  }
  for (const layer of notLayers.filter((one) => one >= 0)) {
    const block = blockOf(blocks, layer)
    if (block >= 0) query.mustNotRunLayers.push(`${block}:${tier}`)
  }
  const fits = ({ originalName }: ImportedResource) =>
    (names.length === 0 || names.includes(originalName)) && !notNames.includes(originalName)
  query.mustNotUseResources.push(...there.filter((one) => !fits(one)).map(({ name }) => name))
  if (used && !there.some(fits)) return false
  if (criteria.maxUploadBytes !== undefined) query.maxUploadBytes[tier] = criteria.maxUploadBytes
  if (criteria.maxSeconds !== undefined) query.maxTierMs[tier] = criteria.maxSeconds * 1000
  // A share of 100 % or more excludes nothing, and our query refuses more.
  if (criteria.maxPercent !== undefined && criteria.maxPercent < 100)
    query.maxTierShare[tier] = criteria.maxPercent
  return true
}

/** The block that holds a Keras layer; -1 when there is none. */
export function blockOf(blocks: readonly Block[], layer: number): number {
  return blocks.findIndex(({ first, last }) => layer >= first && layer <= last)
}
