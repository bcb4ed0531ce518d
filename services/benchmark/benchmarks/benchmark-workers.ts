/**
 * The two kinds of jobs that this service processes itself, on any replica: the parent job of a benchmark, which runs after
 * all parts ended and stores their results, and the watch over benchmarks under way.
 */
import { removeIf } from '../../../shared/platform/redis/lock.ts'
import { type Job, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Logger } from '../../../shared/platform/log.ts'
import { withErrorHandler, workerOptions, PARENT_QUEUE } from '../../../shared/platform/redis/queues.ts'
import {
  type BenchmarkDeps,
  type BenchmarkQueues,
  ParentData,
  type ParentResult,
  requestKey,
  WATCH_QUEUE,
} from './benchmark-queues.ts'
import { readParts } from './benchmark-view.ts'
import { watch } from './watch-benchmarks.ts'

export interface BenchmarkWorkers {
  /** Waits for the jobs under way, then closes. */
  close: () => Promise<void>
  /** Closes the connections at once, even if jobs are under way. */
  disconnect: () => void
}

export function startBenchmarkWorkers(deps: BenchmarkDeps, connection: Redis, log: Logger): BenchmarkWorkers {
  const options = workerOptions(connection)
  const workers = [
    new Worker(PARENT_QUEUE, (job: Job) => collect(deps.queues, job), options),
    new Worker(WATCH_QUEUE, (job: Job) => watch(deps, job.data, log), options),
  ]
  for (const worker of workers) {
    withErrorHandler(worker, worker.name, log)
    worker.on('failed', (job, error) =>
      log.error({ err: error, job: job?.id, queue: worker.name }, error.message),
    )
  }
  return {
    close: async () => {
      await Promise.all(workers.map((worker) => worker.close()))
    },
    disconnect: () => {
      for (const worker of workers) worker.disconnect().catch(() => undefined)
    },
  }
}

async function collect(queues: BenchmarkQueues, job: Job): Promise<ParentResult> {
  const id = job.id ?? ''
  const data = ParentData.parse(job.data)
  const result = await readParts(queues, id, data)
  // The same request may have begun another benchmark already: that one's key stays.
  await removeIf(queues.redis, requestKey(data.fingerprint), id)
  return result
}
