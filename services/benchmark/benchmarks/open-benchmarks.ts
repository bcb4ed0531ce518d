/**
 * Opens what benchmarks need besides HTTP: their queues, the event streams, and the worker of the jobs that this service
 * processes itself, on any replica: the parent job of a benchmark, which runs after all parts ended and stores their results.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Job, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import { waitAtMost } from '../../../shared/platform/deadline.ts'
import type { BenchmarkConfig } from '../../../shared/platform/service/service-config.ts'
import { ClientStreams } from '../../../shared/platform/http-server/client-streams.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { type RedisAccess, workerConnection } from '../../../shared/platform/redis/connections.ts'
import { removeIf } from '../../../shared/platform/redis/lock.ts'
import { PatientWorker } from '../../../shared/platform/redis/patient-worker.ts'
import {
  jobData,
  PARENT_QUEUE,
  withErrorHandler,
  workerOptions,
} from '../../../shared/platform/redis/queues.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { BenchmarkEvents } from './benchmark-events.ts'
import {
  type BenchmarkDeps,
  BenchmarkQueues,
  COLLECT_ATTEMPTS,
  ParentData,
  type ParentResult,
  requestKey,
} from './benchmark-queues.ts'
import { readParts } from './benchmark-view.ts'

type Config = RedisAccess &
  Pick<BenchmarkConfig, 'redisKind' | 'heartbeatMs' | 'benchmarkTimeoutMs' | 'maxClientStreams'>

/** Maximum ms for an orderly close, which usually takes a tenth of this. */
const CLOSE_MS = 2000

export type Benchmarks = ReturnType<typeof openBenchmarks>

/** @param state uses a producer's connection; the workers get a connection of their own. */
export function openBenchmarks(config: Config, state: State, log: Logger) {
  const connection = workerConnection(config, log)
  const queues = new BenchmarkQueues(state.redis, log)
  const events = new BenchmarkEvents(queues, connection, new ClientStreams(config.maxClientStreams), log)
  const deps: BenchmarkDeps = {
    state,
    queues,
    heartbeatMs: config.heartbeatMs,
    benchmarkTimeoutMs: config.benchmarkTimeoutMs,
    standingNotes: config.redisKind === 'emulated' ? ['the queue runs on an emulated Redis'] : [],
    now: () => state.clock.now(),
  }
  const collector = startCollector(queues, connection, log)
  return {
    deps,
    events,
    close: async () => {
      // If Redis is unreachable, BullMQ 6.7.0 waits for its connection for ever during an orderly close.
      const closing = [collector, events].map((one) => one.close())
      const orderly = Promise.all(closing).then(() => queues.close())
      await waitAtMost(orderly, CLOSE_MS, undefined)
      collector.disconnect().catch(() => undefined)
      connection.disconnect()
    },
  }
}

function startCollector(queues: BenchmarkQueues, connection: Redis, log: Logger): Worker {
  const options = { ...workerOptions(connection), concurrency: COLLECTED_AT_ONCE }
  const worker = new PatientWorker(PARENT_QUEUE, (job: Job) => collectOrWait(queues, job), options)
  worker.on('failed', (job, error) =>
    log.error({ err: error, job: job?.id, queue: worker.name }, error.message),
  )
  return withErrorHandler(worker, worker.name, log)
}

/** One that waits for its next attempt keeps no other waiting. */
const COLLECTED_AT_ONCE = 8
/** ms before the next attempt: this, then twice as much, and so on. */
const RETRY_MS = 200

/**
 * A failed attempt is made again after a while, which is spent here: BullMQ's own delays come due by the calendar of the
 * replica that failed, and are looked for by that of any other.
 */
async function collectOrWait(queues: BenchmarkQueues, job: Job): Promise<ParentResult> {
  try {
    return await collect(queues, job)
  } catch (thrown) {
    if (job.attemptsMade + 1 < COLLECT_ATTEMPTS) await sleep(RETRY_MS * 2 ** job.attemptsMade)
    throw thrown
  }
}

async function collect(queues: BenchmarkQueues, job: Job): Promise<ParentResult> {
  const id = job.id ?? ''
  const data = jobData(ParentData, job)
  const result = await readParts(queues, id, data)
  // The same request may have begun another benchmark already: that one's key stays.
  await removeIf(queues.redis, requestKey(data.fingerprint), id)
  return result
}
