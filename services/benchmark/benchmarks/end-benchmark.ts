/** Cancels benchmarks, ends single parts of them, and refuses to delete a model that is being measured. */
import type { Job } from 'bullmq'
import type { Model } from '../../../shared/contracts/model.ts'
import type { Benchmark } from '../../../shared/contracts/profile.ts'
import { execAll } from '../../../shared/platform/redis/exec-all.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import {
  type BenchmarkQueues,
  CANCEL_SECONDS,
  childId,
  endsKey,
  KEEP_SECONDS,
  promptly,
} from './benchmark-queues.ts'
import { isUnderWay, parentJobs, readBenchmark, viewOf } from './benchmark-view.ts'
import { cancelKey, stopKey } from '../../../shared/platform/redis/queues.ts'

/** @throws ScissionError notFound */
export async function needBenchmark(queues: BenchmarkQueues, id: string): Promise<Benchmark> {
  const found = await promptly(queues.redis, () => readBenchmark(queues, id))
  if (found) return found
  throw new ScissionError('notFound', `unknown benchmark "${id}"; GET /v1/benchmarks lists those remembered`)
}

/**
 * Cancels a benchmark: waiting parts are removed from their queues, and a part that is being measured is told to stop.
 * A benchmark that has ended stays as it is. @throws ScissionError notFound.
 */
export async function cancelBenchmark(queues: BenchmarkQueues, id: string): Promise<Benchmark> {
  const benchmark = await needBenchmark(queues, id)
  if (!isUnderWay(benchmark.state)) return benchmark
  await queues.redis.set(cancelKey(id), '1', 'EX', CANCEL_SECONDS)
  for (const part of benchmark.parts) {
    if (part.state !== 'waiting') continue
    const child: Job | undefined = await queues.of(part.resource).getJob(childId(id, part.resource))
    // Fails if a worker takes the job at this moment: that worker finds the cancel key, as it does for an active job.
    await child?.remove().catch(() => undefined)
  }
  return needBenchmark(queues, id)
}

/**
 * Marks an unfinished part as failed. The benchmark goes on without it, even if its worker is still measuring. A part that
 * has ended since the caller looked stays as it is.
 */
export async function endPart(
  queues: BenchmarkQueues,
  id: string,
  resource: string,
  reason: string,
): Promise<void> {
  const child: Job | undefined = await queues.of(resource).getJob(childId(id, resource))
  if (child && ((await child.isCompleted()) || (await child.isFailed()))) return
  const ends = endsKey(id)
  const marks = queues.redis
    .multi()
    .hsetnx(ends, resource, reason)
    .expire(ends, KEEP_SECONDS)
    // Tells the worker to stop, if it is still measuring or comes back and finds the job.
    .set(stopKey(id, resource), reason, 'EX', KEEP_SECONDS)
  await execAll(marks)
  if (!child) return
  try {
    await child.remove()
  } catch (thrown) {
    // A worker holds the job's lock, so the parent stops waiting for it instead.
    const freed = await child.removeChildDependency()
    if (!freed) throw coerceError(thrown)
  }
}

/** @throws ScissionError conflict while a benchmark of this model is under way. */
export async function refuseWhileMeasured(queues: BenchmarkQueues, model: Model): Promise<void> {
  const open = await parentJobs(queues, ['waiting-children', 'waiting', 'active', 'prioritized', 'delayed'])
  for (const job of open) {
    if (job.data.model !== model.id) continue
    const { id, state } = await viewOf(queues, job)
    if (!isUnderWay(state)) continue
    throw new ScissionError(
      'conflict',
      `benchmark ${id} of model ${model.name} is under way; cancel it first: DELETE /v1/benchmarks/${id}`,
      { benchmark: id },
    )
  }
}
