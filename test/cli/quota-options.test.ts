/** Quotas on a command line: what is asked for, and how it is shown. */
import { Command } from 'commander'
import { describe, expect, it } from 'vitest'
import {
  byteSize,
  type QuotaOptions,
  quotasOf,
  quotasText,
  useText,
  withQuotas,
} from '../../infra/cli/quota-options.ts'

const parse = (...args: string[]): QuotaOptions =>
  withQuotas(new Command())
    .exitOverride()
    .configureOutput({ writeErr: () => undefined })
    .parse(args, { from: 'user' })
    .opts()

describe('quotas on a command line', () => {
  it('are numbers, none, or those of the settings', () => {
    const options = parse(
      '--max-models',
      '3',
      '--max-bytes',
      '1.5 GB',
      '--max-jobs',
      'none',
      '--max-requests',
      'default',
    )
    expect(quotasOf(options)).toEqual({ models: 3, bytes: 1_500_000_000, jobs: null })
    const before = { models: 1, requests: 5, burst: 2 }
    expect(quotasOf(options, before)).toEqual({ models: 3, bytes: 1_500_000_000, jobs: null, burst: 2 })
  })

  it.each([
    ['10GB', 10_000_000_000],
    ['10 gb', 10_000_000_000],
    ['0', 0],
    ['12kB', 12_000],
    ['2.5TB', 2_500_000_000_000],
  ])('take %s for %i bytes', (text, bytes) => expect(byteSize(text)).toBe(bytes))

  it.each(['', 'GB', '-1', '1e9', '10 GiB', '10 parsec', '99999999TB', '1.2.3'])('take no %j', (text) =>
    expect(() => byteSize(text)).toThrow('for example 10GB'),
  )

  it.each([
    ['--max-requests', '0'],
    ['--max-models', '-1'],
    ['--burst', 'many'],
    ['--max-bytes', '10 parsec'],
  ])('refuse %s %s', (option, value) => expect(() => parse(option, value)).toThrow(option))

  it('are shown with what there is of them', () => {
    expect(quotasText({ models: 3, bytes: 1e10, requests: 50, burst: 100, jobs: null })).toBe(
      '3 models, 10.0 GB, 50 requests/s, 100 more in 10 s, jobs without limit',
    )
    expect(quotasText()).toBe('')
    const used = { models: 2, bytes: 4_200_000, deployments: 0, jobs: 1 }
    expect(useText({ models: 3, bytes: 1e10, requests: 50 }, used)).toBe(
      [
        '  models       2 of 3',
        '  bytes        4.20 MB of 10.0 GB',
        '  deployments  0 of any number',
        '  jobs         1 of any number',
        '  requests     50 per second',
      ].join('\n'),
    )
  })
})
