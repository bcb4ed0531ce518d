/**
 * What identities have, counted from the records that name them as owners: models, bytes, deployments, jobs under way. Whoever
 * has a quota reserves before anything is made or a body is read:
 *
 *   under the lock of the account: records + what is reserved + what is wanted ≤ quota? then it is reserved
 *   the work: receives, analyses, writes the record
 *   what was reserved is given back: from now on the record counts
 *
 * So of any number of requests at once, to any services, as many succeed as fit. A reservation is a lease: it ends by itself
 * after its process died.
 */
import { randomUUID } from 'node:crypto'
import { QueueKeys } from 'bullmq'
import { z } from 'zod'
import type { Quotas, Used } from '../../contracts/quota.ts'
import type { ScissionError } from '../errors.ts'
import { checkJson } from '../outside-input.ts'
import { withLock } from '../redis/lock.ts'
import { PARENT_QUEUE } from '../redis/queues.ts'
import type { State } from '../redis/state.ts'
import type { Identity } from './identity.ts'
import { accountOf, type Limits, limitsOf, overQuota } from './quotas.ts'

const LEASE_MS = 30_000
const RENEW_MS = LEASE_MS / 4
/** Things stay until somebody deletes them, jobs end by themselves. */
const RETRY_THINGS_SECONDS = 60
const RETRY_JOBS_SECONDS = 10

/** What can be had. */
const THINGS = ['models', 'bytes', 'deployments', 'jobs'] as const
type Thing = (typeof THINGS)[number]

/** What a request wants: a number, or a span if how much it takes is not known yet: then all of it that is left is reserved. */
export type Wanted = Partial<Record<Thing, number | { least: number; most: number }>>

/** What a request may take that makes something. */
export interface Grant {
  /** Who has what is made; absent if it is nobody's. */
  owner: string | undefined
  /** Infinity without a quota. */
  bytes: number
  /** The refusal of one that turns out to take more bytes. */
  tooManyBytes: () => ScissionError
}

type Reserved = Partial<Record<Thing, number>>

const Reservation = z.object({
  /** Epoch ms of Redis. */
  until: z.number(),
  models: z.number().default(0),
  bytes: z.number().default(0),
  deployments: z.number().default(0),
  jobs: z.number().default(0),
})
/** A hash, by the ids of reservations. */
const reservedKey = (account: string): string => `scission:reserved:${account}`

const OwnedJob = z.object({ owner: z.string() })
const UNDER_WAY = ['waiting', 'active'] as const

export class Holdings {
  readonly #state: State
  readonly #defaults: Quotas

  /** @param defaults quotas of who has none. */
  constructor(state: State, defaults: Quotas) {
    this.#state = state
    this.#defaults = defaults
  }

  /** The quotas that hold for an identity. */
  limits(identity: Identity): Quotas {
    return limitsOf(identity, this.#defaults)
  }

  /** What is there of an account, and what is reserved for it. */
  async used(account: string): Promise<Used> {
    const { models, calibrations, deployments } = this.#state
    const [allModels, allCalibrations, allDeployments, benchmarks, reserved] = await Promise.all([
      models.all(),
      calibrations.all(),
      deployments.all(),
      this.#benchmarks(account),
      this.#reserved(account),
    ])
    const isOwn = ({ owner }: { owner?: string | undefined }) => owner === account
    const ownModels = allModels.filter(isOwn)
    const samples = allModels.flatMap((model) =>
      model.samples && isOwn(model.samples) ? [model.samples] : [],
    )
    const ownCalibrations = allCalibrations.filter(isOwn)
    const calibrating = ownCalibrations.filter(({ state }) => UNDER_WAY.some((one) => one === state))
    return {
      models: ownModels.length + reserved.models,
      bytes:
        sum([...ownModels, ...samples].map(({ bytes }) => bytes)) +
        sum(ownCalibrations.map(({ sampleBytes = 0 }) => sampleBytes)) +
        reserved.bytes,
      deployments: allDeployments.filter(isOwn).length + reserved.deployments,
      jobs: benchmarks + calibrating.length + reserved.jobs,
    }
  }

  /**
   * Does work for which the identity needs what is wanted. Without a quota on it nothing is counted.
   * @param work is told how much it may take. It must have written its records when it resolves.
   * @throws ScissionError tooManyRequests, before the work begins; what the work throws.
   */
  async reserving<T>(identity: Identity, wanted: Wanted, work: (grant: Grant) => Promise<T>): Promise<T> {
    const owner = accountOf(identity)
    const limits = limitsOf(identity, this.#defaults)
    const isCounted = THINGS.some((one) => wanted[one] !== undefined && limits[one] !== undefined)
    if (owner === undefined || !isCounted)
      return work({ owner, bytes: Infinity, tooManyBytes: () => atLimit(identity, 'bytes', 0, Infinity) })
    const id = randomUUID()
    const { used, reserved } = await withLock(this.#state.redis, `quota:${owner}`, async () => {
      const now = await this.used(owner)
      const fitting = fit(identity, limits, wanted, now)
      await this.#hold(owner, id, fitting)
      return { used: now, reserved: fitting }
    })
    // One that fails is followed by another one; without Redis the work fails by itself.
    const renewal = setInterval(() => void this.#hold(owner, id, reserved).catch(() => undefined), RENEW_MS)
    try {
      const { bytes = Infinity } = reserved
      const tooManyBytes = () => atLimit(identity, 'bytes', used.bytes, limits.bytes ?? Infinity)
      return await work({ owner, bytes, tooManyBytes })
    } finally {
      clearInterval(renewal)
      // The caller gets the outcome of the work; what cannot be given back now ends by itself.
      await this.#state.redis.hdel(reservedKey(owner), id).catch(() => undefined)
    }
  }

  async #hold(account: string, id: string, reserved: Reserved): Promise<void> {
    const { redis, clock } = this.#state
    const until = (await clock.read()) + LEASE_MS
    await redis.hset(reservedKey(account), id, JSON.stringify({ ...reserved, until }))
  }

  async #reserved(account: string): Promise<Used> {
    const { redis, clock } = this.#state
    const all: Used = { models: 0, bytes: 0, deployments: 0, jobs: 0 }
    for (const [id, text] of Object.entries(await redis.hgetall(reservedKey(account)))) {
      const { value } = checkJson(Reservation, text)
      if (!value || value.until < clock.now()) await redis.hdel(reservedKey(account), id)
      else for (const thing of THINGS) all[thing] += value[thing]
    }
    return all
  }

  /** Benchmarks under way that this account has asked for. */
  async #benchmarks(account: string): Promise<number> {
    const { redis } = this.#state
    const keys = new QueueKeys()
    const key = (type: string) => keys.toKey(PARENT_QUEUE, type)
    const ids = [
      ...(await redis.zrange(key('waiting-children'), '0', '-1')),
      ...(await redis.zrange(key('prioritized'), '0', '-1')),
      ...(await redis.zrange(key('delayed'), '0', '-1')),
      ...(await redis.lrange(key('wait'), 0, -1)),
      ...(await redis.lrange(key('active'), 0, -1)),
    ]
    let count = 0
    for (const id of new Set(ids)) {
      const text = await redis.hget(key(id), 'data')
      if (text !== null && checkJson(OwnedJob, text).value?.owner === account) count += 1
    }
    return count
  }
}

/** @throws ScissionError tooManyRequests for the first thing of which less is left than is wanted. */
function fit(identity: Identity, limits: Limits, wanted: Wanted, used: Used): Reserved {
  const reserved: Reserved = {}
  for (const thing of THINGS) {
    const [want, limit] = [wanted[thing], limits[thing]]
    if (want === undefined || limit === undefined) continue
    const { least, most } = typeof want === 'number' ? { least: want, most: want } : want
    const left = Math.max(0, limit - used[thing])
    if (left < least) throw atLimit(identity, thing, used[thing], limit, least)
    reserved[thing] = Math.min(left, most)
  }
  return reserved
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, one) => total + one, 0)

const WHAT: Record<Thing, { one: string; more?: string; remedy: string; retryAfterSeconds: number }> = {
  models: { one: 'model', remedy: 'delete one', retryAfterSeconds: RETRY_THINGS_SECONDS },
  bytes: {
    one: 'byte',
    more: ' of models and samples',
    remedy: 'delete a model, its samples or a calibration',
    retryAfterSeconds: RETRY_THINGS_SECONDS,
  },
  deployments: { one: 'deployment', remedy: 'delete one', retryAfterSeconds: RETRY_THINGS_SECONDS },
  jobs: {
    one: 'job',
    more: ' (benchmarks, calibrations) under way',
    remedy: 'cancel one, or wait for its end',
    retryAfterSeconds: RETRY_JOBS_SECONDS,
  },
}

/** The refusal of somebody who wants more than is left. @param wanted of a request whose size is known. */
function atLimit(identity: Identity, quota: Thing, used: number, limit: number, wanted = 1): ScissionError {
  const { one, more = '', remedy, retryAfterSeconds } = WHAT[quota]
  const wants = wanted > 1 ? `, this takes ${wanted}` : ''
  return overQuota(
    identity,
    { quota, limit, used, ...(wanted > 1 && { wanted }), retryAfterSeconds },
    `may have ${limit} ${one}${limit === 1 ? '' : 's'}${more} and has ${used}${wants}: ${remedy}`,
  )
}
