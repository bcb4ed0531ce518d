/**
 * BullMQ queues: their names, which the benchmark service and the inference services must spell alike, and the options
 * that all of them share. Spread `queueOptions` or `workerOptions` into every Queue or Worker, and give these and every
 * QueueEvents its `error` listener, or Node ends the process.
 */
import type { Job, QueueOptions, WorkerOptions } from 'bullmq'
import type { Redis } from 'ioredis'
import type { z } from 'zod'
import { ScissionError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { check } from '../outside-input.ts'

export const PARENT_QUEUE = 'benchmark'

/** The queue of one resource's benchmark jobs: only that resource works it. */
export const resourceQueue = (resource: string): string => `${PARENT_QUEUE}.${resource}`

/** While this key exists, inference services give up the benchmark's jobs. */
export const cancelKey = (benchmark: string): string => `scission:cancel:${benchmark}`

/** While this key exists, one resource gives up its part of the benchmark. The value is the reason. */
export const stopKey = (benchmark: string, resource: string): string =>
  `scission:stop:${benchmark}.${resource}`

/**
 * A killed worker's job runs again within lock + stalled interval, 4.5 s. The lock is renewed five times as often as it
 * needs to be, so a worker's event loop may be busy for 2.8 s; measuring is in a child process anyway. A worker that
 * lost its lock all the same does its job again, which for every job of ours is a waste and no harm.
 */
export const LOCK_DURATION_MS = 3500
export const LOCK_RENEW_MS = 700
/**
 * How often jobs without a lock are looked for. BullMQ has one such timer per queue, set by the worker that came last:
 * a single worker with another interval changes it for all.
 */
export const STALLED_INTERVAL_MS = 1000
/** A job that lost its worker more often than this fails: the job may be the cause. */
export const MAX_STALLED_COUNT = 2

/**
 * Events that a queue keeps for a listener that was away (BullMQ: 10,000). Enough for minutes of progress; the emulated
 * Redis copies all of them with every new one.
 */
const MAX_EVENTS = 1000

/** For Queue and FlowProducer; `connection` from `producerConnection`. */
export function queueOptions(connection: Redis): QueueOptions {
  return { connection, streams: { events: { maxLen: MAX_EVENTS } } }
}

/**
 * For every PatientWorker; `connection` from `workerConnection`. Concurrency is 1 unless set by the caller.
 * Do not override the three recovery settings: they must be the same in all workers of a queue.
 */
export function workerOptions(connection: Redis): WorkerOptions {
  return {
    connection,
    lockDuration: LOCK_DURATION_MS,
    lockRenewTime: LOCK_RENEW_MS,
    stalledInterval: STALLED_INTERVAL_MS,
    maxStalledCount: MAX_STALLED_COUNT,
    runRetryDelay: RETRY_MS,
  }
}

/** ms after which a worker asks a Redis again that has refused it. */
const RETRY_MS = 1000

/** The part of BullMQ's Queue, Worker, QueueEvents and FlowProducer that reports errors. */
interface ReportsErrors {
  on: (event: 'error', listener: (error: Error) => void) => unknown
}

/** Gives a Queue, Worker, QueueEvents or FlowProducer its `error` listener, and returns it. */
export function withErrorHandler<T extends ReportsErrors>(emitter: T, name: string, log?: Logger): T {
  // The connection below has reported already that Redis is lost: this is the same news.
  emitter.on('error', (error) => log?.debug({ err: error, queue: name }, error.message))
  return emitter
}

/** The data of a job. @throws ScissionError notReady if it is not what this version writes, as for other documents in Redis. */
export function jobData<T>(
  schema: z.ZodType<T>,
  { id, queueName, data }: Pick<Job, 'id' | 'queueName' | 'data'>,
): T {
  const { value, fault } = check(schema, data)
  if (fault === undefined) return value
  const message = `job ${id} of queue ${queueName} in Redis is not what this version writes: ${fault}`
  throw new ScissionError('notReady', message)
}
