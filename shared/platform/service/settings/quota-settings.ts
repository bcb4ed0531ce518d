/** Settings of every service: the quotas of operators and clients whose keys have none of their own. */
import { z } from 'zod'
import type { Quotas } from '../../../contracts/quota.ts'
import { integer, setting } from './setting.ts'

const quota = (least: number) => z.union([z.literal(''), integer(least)])

export const QUOTA_SETTINGS = {
  quotaRequests: setting(
    'SCISSION_QUOTA_REQUESTS',
    quota(1),
    '',
    'requests per second of each operator and client whose key says nothing else, over all services; empty = no limit',
  ),
  quotaBurst: setting(
    'SCISSION_QUOTA_BURST',
    quota(0),
    '',
    'requests beyond that which each may send in every ten seconds; empty = none',
  ),
  quotaModels: setting(
    'SCISSION_QUOTA_MODELS',
    quota(0),
    '',
    'models that each operator may have whose key says nothing else; empty = no limit, here and in what follows',
  ),
  quotaBytes: setting(
    'SCISSION_QUOTA_BYTES',
    quota(0),
    '',
    'bytes of all models, their external data, and samples that each operator may have',
  ),
  quotaDeployments: setting(
    'SCISSION_QUOTA_DEPLOYMENTS',
    quota(0),
    '',
    'deployments that each operator may have on record',
  ),
  quotaJobs: setting(
    'SCISSION_QUOTA_JOBS',
    quota(0),
    '',
    'benchmarks and calibrations that each operator may have under way',
  ),
} as const

/** As the settings are read: the empty text is none. */
export type QuotaSettings = {
  [name in keyof typeof QUOTA_SETTINGS]?: '' | number
}

export function defaultQuotas(settings: QuotaSettings): Quotas {
  const read = (value: '' | number | undefined) => (value === '' ? undefined : value)
  return {
    models: read(settings.quotaModels),
    bytes: read(settings.quotaBytes),
    deployments: read(settings.quotaDeployments),
    jobs: read(settings.quotaJobs),
    requests: read(settings.quotaRequests),
    burst: read(settings.quotaBurst),
  }
}
