/**
 * Translates the original's criteria (`-d 3,!10,raspi4`, limits) to a plan query.
 *
 * For each tier, separated by commas: `3` the layer must run there, `!10` it must not, `-1` the tier is unused, `!-1` it is
 * used, `name` it is used with one of the named machines, `!name` it is used without that machine. Digits always mean a
 * layer, even if a machine is called `2500`. All criteria must hold.
 */
import { ScissionError } from '../platform/errors.ts'
import { type Block, TIERS, type Tier } from './data.ts'
import { DEFAULT_INPUT_BYTES, type ImportedResource } from './import.ts'

const BYTES_PER_MB = 1e6

/** Options as given on the command line. */
export interface OriginalOptions {
  device?: string | undefined
  edge?: string | undefined
  cloud?: string | undefined
  /** Limit in MB. */
  deviceUpload?: string | undefined
  edgeUpload?: string | undefined
  /** Limit in seconds, or `20%` of the processing time without transfers. */
  deviceTime?: string | undefined
  edgeTime?: string | undefined
  cloudTime?: string | undefined
  /** Size of the input in MB. */
  input?: string | undefined
  resultCount?: string | undefined
}

export interface TierCriteria {
  /** Keras layers that must run on the tier; -1: the tier is unused. */
  layers: number[]
  notLayers: number[]
  names: string[]
  notNames: string[]
  /** Limit of the bytes that the tier sends. */
  maxUploadBytes?: number
  maxSeconds?: number
  /** Limit in percent of the processing time. */
  maxPercent?: number
}

export interface Criteria {
  tiers: Record<Tier, TierCriteria>
  inputBytes: number
  count: number
}

/** @throws ScissionError badRequest, which names the option. */
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

/** The fields of a plan query that criteria can set. */
type CriteriaQuery = ReturnType<typeof emptyQuery>

/**
 * The query for one device, or undefined if nothing can satisfy the criteria: a machine is unknown, a layer does not exist,
 * or no machine is left.
 * @param device the source; no other machine of its tier takes part.
 * @param resources all machines.
 */
export function queryOf(
  criteria: Criteria,
  device: ImportedResource,
  resources: readonly ImportedResource[],
  blocks: readonly Block[],
): CriteriaQuery | undefined {
  const query = emptyQuery(device.name, criteria.count)
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

/** Adds the criteria of one tier to the query. @returns false if no machine or layer can satisfy them. */
function addTier(
  query: CriteriaQuery,
  tier: Tier,
  criteria: TierCriteria,
  there: readonly ImportedResource[],
  blocks: readonly Block[],
): boolean {
  const { layers, notLayers, names, notNames } = criteria
  const used =
    names.length > 0 || notNames.length > 0 || layers.some((layer) => layer >= 0) || notLayers.includes(-1)
  // The optimiser does not know a tier without machines; it counts as unused.
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
  // A share of 100 % or more excludes nothing, and the plan query refuses shares above 100 %.
  if (criteria.maxPercent !== undefined && criteria.maxPercent < 100)
    query.maxTierShare[tier] = criteria.maxPercent
  return true
}

/** Index of the block that contains a Keras layer; -1 if there is none. */
function blockOf(blocks: readonly Block[], layer: number): number {
  return blocks.findIndex(({ first, last }) => layer >= first && layer <= last)
}
