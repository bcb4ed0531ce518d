/**
 * The two jobs that this service works itself, on any replica: the parent of a benchmark, which runs once all parts
 * ended and keeps how, and the watch over benchmarks under way.
 */
import { type Job, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Logger } from '../../../shared/platform/log.ts'
import { withErrorHandler, workerOptions } from '../../../shared/platform/redis/queue-options.ts'
import { removeIf } from '../../../shared/platform/redis/lock.ts'
import { type BenchmarkQueues, ParentData, type ParentResult, requestKey, WATCH_QUEUE } from './queues.ts'
import type { BenchmarkParts } from './benchmark-deps.ts'
import { readParts } from './benchmark-view.ts'
import { watch } from './watch.ts'
import { PARENT_QUEUE } from '../../../shared/platform/redis/benchmark-queue.ts'

export interface BenchmarkWorkers {
  /** Finishes the jobs under way. */
  close: () => Promise<void>
  /** Gives up the connections, whatever is under way. */
  disconnect: () => void
}

export function startBenchmarkWorkers(
  parts: BenchmarkParts,
  connection: Redis,
  log: Logger,
): BenchmarkWorkers {
  const options = workerOptions(connection)
  const workers = [
    new Worker(PARENT_QUEUE, (job: Job) => collect(parts.queues, job), options),
    new Worker(WATCH_QUEUE, (job: Job) => watch(parts, job.data, log), options),
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
