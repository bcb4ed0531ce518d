/** Quotas: how much of a system one identity may take. */
import { z } from 'zod'
import { byteCount } from './common.ts'

/** What a quota is on. `requests` concerns all callers, the others those who make things: operators. */
export const QUOTAS = ['models', 'bytes', 'deployments', 'jobs', 'requests'] as const
export type QuotaName = (typeof QUOTAS)[number]

const count = z.number().int().nonnegative()
/** One that is left out is that of the settings; null = no limit, whatever the settings say. */
const limit = count.nullable().optional()

export const Quotas = z
  .strictObject({
    models: limit.describe('models that it may have'),
    bytes: limit.describe('bytes of its models with their external data, and of all samples that it gave'),
    deployments: limit.describe('deployments that it may have on record'),
    jobs: limit.describe('benchmarks and calibrations that it may have under way'),
    requests: z.number().int().positive().nullable().optional().describe('requests per second'),
    burst: limit.describe('requests beyond `requests` that are taken in every ten seconds'),
  })
  .meta({
    id: 'Quotas',
    description:
      'One that is left out is that of the settings (SCISSION_QUOTA_…); null is no limit, whatever the settings say',
    examples: [{ models: 10, bytes: 10_000_000_000, requests: 50, burst: 100 }],
  })
export type Quotas = z.infer<typeof Quotas>

/** What an identity has. */
export const Used = z
  .object({
    models: count,
    bytes: byteCount,
    deployments: count,
    jobs: count.describe('benchmarks and calibrations under way'),
  })
  .meta({ id: 'Used', description: 'What it has now, with what is being uploaded' })
export type Used = z.infer<typeof Used>

/** Id of the key who made something. */
export const owner = z
  .string()
  .max(200)
  .optional()
  .describe('the key whose quotas it counts for; absent if the system or this machine made it')
