/** The options of quotas on a command line, and how quotas are shown. */
import { type Command, InvalidArgumentError } from 'commander'
import type { Quotas, Used } from '../../shared/contracts/quota.ts'
import { formatBytes } from '../terminal/format.ts'
import { wholeNumberFrom } from './numbers.ts'

/** `default` = that of the settings. Commander takes null for the empty text. */
type Value = number | 'none' | 'default'

export interface QuotaOptions {
  maxModels?: Value
  maxBytes?: Value
  maxDeployments?: Value
  maxJobs?: Value
  maxRequests?: Value
  burst?: Value
}

const HOW = 'a number, none, or default (that of the settings)'

export const withQuotas = (command: Command): Command =>
  command
    .option(
      '--max-requests <n>',
      `requests per second over all services: ${HOW}`,
      valueOf(wholeNumberFrom(1)),
    )
    .option('--burst <n>', 'requests beyond that in every ten seconds', valueOf(wholeNumberFrom(0)))
    .option('--max-models <n>', 'of an operator: models that it may have', valueOf(wholeNumberFrom(0)))
    .option(
      '--max-bytes <size>',
      'of an operator: its models and samples, for example 10GB',
      valueOf(byteSize),
    )
    .option('--max-deployments <n>', 'of an operator: deployments on record', valueOf(wholeNumberFrom(0)))
    .option(
      '--max-jobs <n>',
      'of an operator: benchmarks and calibrations under way',
      valueOf(wholeNumberFrom(0)),
    )

const valueOf =
  (parse: (text: string) => number) =>
  (text: string): Value =>
    text === 'default' || text === 'none' ? text : parse(text)

const UNITS: Record<string, number> = { '': 1, b: 1, kb: 1e3, mb: 1e6, gb: 1e9, tb: 1e12 }

/** @throws InvalidArgumentError */
export function byteSize(text: string): number {
  const [, number = '', unit = ''] = /^(\d+(?:\.\d+)?) ?([a-z]*)$/i.exec(text.trim()) ?? []
  const bytes = Math.round(Number(number) * (UNITS[unit.toLowerCase()] ?? Number.NaN))
  if (number !== '' && Number.isSafeInteger(bytes)) return bytes
  throw new InvalidArgumentError('It must be a size in bytes, kB, MB, GB or TB, for example 10GB.')
}

/** @param before the quotas of which those that are not given stay. */
export function quotasOf(options: QuotaOptions, before: Quotas = {}): Quotas {
  const given = {
    models: options.maxModels,
    bytes: options.maxBytes,
    deployments: options.maxDeployments,
    jobs: options.maxJobs,
    requests: options.maxRequests,
    burst: options.burst,
  }
  const quotas: Quotas = { ...before }
  for (const name of Object.keys(given) as (keyof typeof given)[]) {
    const value = given[name]
    if (value === 'default') delete quotas[name]
    else if (value !== undefined) quotas[name] = value === 'none' ? null : value
  }
  return quotas
}

const TEXT: Partial<Record<keyof Quotas, (value: number) => string>> = {
  bytes: formatBytes,
  requests: (value) => `${value} requests/s`,
  burst: (value) => `${value} more in 10 s`,
}

/** `3 models, 10 GB, 50 requests/s`; '' if there are none. */
export function quotasText(quotas: Quotas = {}): string {
  return (Object.entries(quotas) as [keyof Quotas, number | null | undefined][])
    .flatMap(([name, value]) => {
      if (value === undefined) return []
      return value === null ? `${name} without limit` : (TEXT[name]?.(value) ?? `${value} ${name}`)
    })
    .join(', ')
}

/** One line for each quota: what there is, of how much. */
export function useText(limits: Quotas, used: Used): string {
  const line = (name: keyof Used, format: (value: number) => string = String) => {
    const limit = limits[name]
    return `  ${name.padEnd(12)} ${format(used[name])} of ${typeof limit === 'number' ? format(limit) : 'any number'}`
  }
  const { requests, burst } = limits
  const rate =
    typeof requests === 'number'
      ? `${requests} per second${typeof burst === 'number' && burst > 0 ? `, ${burst} more in every 10 s` : ''}`
      : 'any number'
  return [
    line('models'),
    line('bytes', formatBytes),
    line('deployments'),
    line('jobs'),
    `  requests     ${rate}`,
  ].join('\n')
}
