/**
 * The queues of benchmarks. Each benchmark is one BullMQ flow: the parent job in queue `benchmark`, processed by this
 * service, and one child job per resource in `benchmark.<resource>`, processed by that resource alone. Queues are opened at
 * first use and kept open.
 */
import { FlowProducer, Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { ModelId, ResourceName, ShapesKey, timestamp } from '../../../shared/contracts/common.ts'
import { BenchmarkPart } from '../../../shared/contracts/profile.ts'
import { owner } from '../../../shared/contracts/quota.ts'
import { waitWithin } from '../../../shared/platform/deadline.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { LeftOut } from '../../../shared/platform/outside-input.ts'
import {
  PARENT_QUEUE,
  queueOptions,
  resourceQueue,
  withErrorHandler,
} from '../../../shared/platform/redis/queues.ts'
import type { State } from '../../../shared/platform/redis/state.ts'

/** Attempts at collecting the results of a benchmark whose parts have all ended. */
export const COLLECT_ATTEMPTS = 5
/**
 * The form of a benchmark's id, as start-benchmark.ts makes it: fingerprint and random digits. The id of a job is a part of
 * its Redis key, and BullMQ keeps more under such keys than jobs: `meta`, `events`.
 */
export const BENCHMARK_ID = /^[0-9a-f]{16}-[0-9a-f]{8}$/
export const childId = (benchmark: string, resource: string) => `${benchmark}.${resource}`
/** Redis hash from resource to reason, of parts that this service ended, not their worker. */
export const endsKey = (benchmark: string) => `scission:benchmark-ends:${benchmark}`
/** Redis key of the benchmark under way that answers requests with this fingerprint. */
export const requestKey = (fingerprint: string) => `scission:benchmark-request:${fingerprint}`

/** Ended benchmarks are kept for a week, at most 1000 of them. Their profiles are stored separately and stay. */
export const KEEP_SECONDS = 7 * 24 * 3600
const KEEP = { age: KEEP_SECONDS, count: 1000 }
/** Options of a job. */
export const KEEP_ENDED = { removeOnComplete: KEEP, removeOnFail: KEEP }
/** Lifetime of a cancel key: longer than any job needs to find it. */
export const CANCEL_SECONDS = 3600

export const ParentData = z.object({
  model: ModelId,
  shapesKey: ShapesKey,
  resources: z.array(ResourceName),
  notes: z.array(z.string()),
  fingerprint: z.string(),
  owner,
  createdAt: timestamp,
  /** Resource → the recent profile that is used instead of a new measurement. */
  reused: z.record(ResourceName, z.object({ profile: z.string(), measuredAt: timestamp })).default({}),
})
export type ParentData = z.infer<typeof ParentData>

/** The parent job's return value: how each part ended. It outlives the child jobs. */
export const ParentResult = z.object({ parts: z.array(BenchmarkPart), cancelled: z.boolean() })
export type ParentResult = z.infer<typeof ParentResult>

/** A job that BullMQ cannot read counts as none: anybody can write to Redis, and one such job must not hide the others. */
class TolerantQueue extends Queue {
  readonly #leftOut: LeftOut

  constructor(name: string, redis: Redis, leftOut: LeftOut) {
    super(name, queueOptions(redis))
    this.#leftOut = leftOut
  }

  /** BullMQ reads the jobs of a list by this method too. */
  override async getJob(id: string): ReturnType<Queue['getJob']> {
    try {
      return await super.getJob(id)
    } catch (thrown) {
      if (!(thrown instanceof SyntaxError)) throw thrown
      this.#leftOut.report(`${this.name} ${id}`, `job ${id} of queue ${this.name} in Redis is not JSON`)
      return undefined
    }
  }
}

export class BenchmarkQueues {
  readonly redis: Redis
  readonly #log: Logger
  readonly #queues = new Map<string, Queue>()
  readonly leftOut: LeftOut
  #flows: FlowProducer | undefined

  constructor(redis: Redis, log: Logger) {
    this.redis = redis
    this.leftOut = new LeftOut(log)
    this.#log = log
  }

  get parents(): Queue {
    return this.#queue(PARENT_QUEUE)
  }

  of(resource: string): Queue {
    return this.#queue(resourceQueue(resource))
  }

  get flows(): FlowProducer {
    this.#flows ??= withErrorHandler(new FlowProducer(queueOptions(this.redis)), 'flow producer', this.#log)
    return this.#flows
  }

  async close(): Promise<void> {
    await Promise.all([...this.#queues.values()].map((queue) => queue.close()))
    await this.#flows?.close()
  }

  #queue(name: string): Queue {
    const known = this.#queues.get(name)
    if (known) return known
    const queue = withErrorHandler(new TolerantQueue(name, this.redis, this.leftOut), name, this.#log)
    this.#queues.set(name, queue)
    return queue
  }
}

const REDIS_PATIENCE_MS = 5000

/**
 * Runs `work` with a time limit: BullMQ waits for a lost Redis to come back, but an HTTP request must be answered.
 * @throws ScissionError queueUnavailable
 */
export async function promptly<T>(redis: Redis, work: () => Promise<T>): Promise<T> {
  // Fails at once if the connection is down, because the producer's connection does not queue commands.
  await redis.ping()
  return waitWithin(
    work(),
    { deadline: performance.now() + REDIS_PATIENCE_MS },
    () => new ScissionError('queueUnavailable', `Redis has not answered in ${REDIS_PATIENCE_MS} ms`),
  )
}

/** Dependencies of starting, watching and listing benchmarks. */
export interface BenchmarkDeps {
  state: State
  queues: BenchmarkQueues
  heartbeatMs: number
  /** ms without a sign of life after which a part of a benchmark fails; the other parts go on. */
  benchmarkTimeoutMs: number
  /** Notes added to every benchmark, e.g. that Redis is emulated. */
  standingNotes: readonly string[]
  /** Epoch ms of Redis' clock: profiles and heartbeats that are looked at come from other machines. */
  now: () => number
}
