/**
 * Which limits hold for an identity, and what a caller is told who is at one. Resources, whoever is on this machine without a
 * token, and the operator who has the system key have none; the others have those of their key, else those of the settings.
 */
import { Counter, type Registry } from 'prom-client'
import { QUOTAS, type QuotaName, type Quotas } from '../../contracts/quota.ts'
import { ScissionError } from '../errors.ts'
import { describeIdentity, type Identity } from './identity.ts'

export const UNLIMITED: Quotas = {
  models: null,
  bytes: null,
  deployments: null,
  jobs: null,
  requests: null,
  burst: null,
}

/** A quota that is not here has no limit. */
export type Limits = Partial<Record<QuotaName | 'burst', number>>

/** @param defaults of the settings. */
export function limitsOf(identity: Identity, defaults: Quotas): Limits {
  if (identity.kind !== 'operator' && identity.kind !== 'client') return {}
  const limits: Limits = {}
  for (const name of [...QUOTAS, 'burst'] as const) {
    // A client makes nothing that could be counted.
    if (identity.kind === 'client' && name !== 'requests' && name !== 'burst') continue
    const own = identity.quotas?.[name]
    const limit = own === undefined ? defaults[name] : own
    if (limit !== undefined && limit !== null) limits[name] = limit
  }
  return limits
}

/** Under which name an identity's requests and things are counted; undefined for whom nothing is counted. */
export const accountOf = (identity: Identity): string | undefined =>
  identity.kind === 'operator' || identity.kind === 'client' ? (identity.account ?? identity.id) : undefined

const OPTION: Record<QuotaName, string> = {
  models: '--max-models',
  bytes: '--max-bytes',
  deployments: '--max-deployments',
  jobs: '--max-jobs',
  requests: '--max-requests',
}

/** How an operator gives this identity more. */
function howToRaise(identity: Identity, quota: QuotaName): string {
  const isOwn = 'quotas' in identity && identity.quotas?.[quota] !== undefined
  return isOwn
    ? `scission keys set ${identity.id} ${OPTION[quota]} N raises it`
    : `the quota is of SCISSION_QUOTA_${quota.toUpperCase()}`
}

export interface Excess {
  quota: QuotaName
  limit: number
  /** Absent for requests. */
  used?: number
  wanted?: number
  /** After which it may be tried again. */
  retryAfterSeconds: number
}

const refused = Object.fromEntries(QUOTAS.map((name) => [name, 0])) as Record<QuotaName, number>

/** The refusal of somebody who is at a quota; it is counted. @param what is at its limit, and what frees it. */
export function overQuota(identity: Identity, excess: Excess, what: string): ScissionError {
  refused[excess.quota] += 1
  return new ScissionError(
    'tooManyRequests',
    `${describeIdentity(identity)} ${what}; ${howToRaise(identity, excess.quota)}`,
    { ...excess },
  )
}

/** Without a label for who it was: there is no end of identities. */
export function addQuotaMetric(registry: Registry): void {
  const total = new Counter({
    name: 'scission_quota_refusals_total',
    help: 'Requests that were refused because their caller is at a quota, by quota',
    labelNames: ['quota'],
    registers: [registry],
    collect: () => {
      total.reset()
      for (const [quota, count] of Object.entries(refused)) total.inc({ quota }, count)
    },
  })
}
