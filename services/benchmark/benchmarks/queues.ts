/**
 * The queues of benchmarks. One BullMQ flow per benchmark: the parent in `benchmark`, worked by this service, and one
 * child per resource in `benchmark.<resource>`, worked by that resource alone. A watch job in `benchmark-watch` looks
 * for parts that fell silent. Queues are opened when first needed and kept.
 */
import { FlowProducer, Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { ModelId, ResourceName, ShapesKey, timestamp } from '../../../shared/contracts/common.ts'
import { BenchmarkPart } from '../../../shared/contracts/profile.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import {
  PARENT_QUEUE,
  resourceQueue,
  queueOptions,
  withErrorHandler,
} from '../../../shared/platform/redis/queues.ts'
import { waitWithin } from '../../../shared/platform/deadline.ts'

export const WATCH_QUEUE = 'benchmark-watch'
export const childId = (benchmark: string, resource: string) => `${benchmark}.${resource}`
/** Hash: resource → reason, for parts that were failed from here and not by their worker. */
export const endsKey = (benchmark: string) => `scission:benchmark-ends:${benchmark}`
/** Which benchmark answers a request that is under way already. */
export const requestKey = (fingerprint: string) => `scission:benchmark-request:${fingerprint}`

/** Ended benchmarks are remembered for a week, at most a thousand of them. Profiles are kept apart from this. */
export const KEEP_SECONDS = 7 * 24 * 3600
export const KEEP = { age: KEEP_SECONDS, count: 1000 }

export const ParentData = z.object({
  model: ModelId,
  shapesKey: ShapesKey,
  resources: z.array(ResourceName),
  notes: z.array(z.string()),
  fingerprint: z.string(),
  createdAt: timestamp,
  /** Parts that have a recent profile and are not measured again, by resource. */
  reused: z.record(ResourceName, z.object({ profile: z.string(), measuredAt: timestamp })).default({}),
})
export type ParentData = z.infer<typeof ParentData>

/** What the parent job returns: how each part ended, kept after the children are gone. */
export const ParentResult = z.object({ parts: z.array(BenchmarkPart), cancelled: z.boolean() })
export type ParentResult = z.infer<typeof ParentResult>

/** What an unfinished part looked like, and since when (epoch ms) it has looked like that. */
export const LifeSign = z.object({ sign: z.string(), since: z.number() })
export type LifeSign = z.infer<typeof LifeSign>

/** `seen`: by resource, when last looked at. */
export const WatchData = z.object({ benchmark: z.string(), seen: z.record(z.string(), LifeSign) })
export type WatchData = z.infer<typeof WatchData>

export class BenchmarkQueues {
  readonly redis: Redis
  readonly #log: Logger
  readonly #queues = new Map<string, Queue>()
  #flows: FlowProducer | undefined

  constructor(redis: Redis, log: Logger) {
    this.redis = redis
    this.#log = log
  }

  get parents(): Queue {
    return this.#queue(PARENT_QUEUE)
  }

  get watches(): Queue {
    return this.#queue(WATCH_QUEUE)
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
    const queue = withErrorHandler(new Queue(name, queueOptions(this.redis)), name, this.#log)
    this.#queues.set(name, queue)
    return queue
  }
}

const REDIS_PATIENCE_MS = 5000

/**
 * BullMQ waits for a lost Redis to come back; an HTTP request must not.
 * @throws ScissionError queueUnavailable
 */
export async function promptly<T>(redis: Redis, work: () => Promise<T>): Promise<T> {
  // Fails at once while the connection is down, because the producer's connection queues nothing.
  await redis.ping()
  return waitWithin(
    work(),
    { deadline: Date.now() + REDIS_PATIENCE_MS },
    () => new ScissionError('queueUnavailable', `Redis has not answered in ${REDIS_PATIENCE_MS} ms`),
  )
}
