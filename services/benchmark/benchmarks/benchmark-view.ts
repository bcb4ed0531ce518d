/**
 * Reads the current state of a benchmark from its jobs in Redis, on any replica. While it is under way, each part is read
 * from its child job; afterwards, from the parent job's return value.
 */
import type { Job, JobType } from 'bullmq'
import { type Benchmark, type BenchmarkPart, BenchmarkProgress } from '../../../shared/contracts/profile.ts'
import { check } from '../../../shared/platform/outside-input.ts'
import { cancelKey, jobData } from '../../../shared/platform/redis/queues.ts'
import {
  BENCHMARK_ID,
  type BenchmarkQueues,
  childId,
  endsKey,
  ParentData,
  ParentResult,
} from './benchmark-queues.ts'
import { entryOf } from '../../../shared/platform/entry-of.ts'

type PartState = Benchmark['state']

export const isUnderWay = (state: PartState): boolean => state === 'waiting' || state === 'active'

/** The parent jobs of benchmarks in these states; those that cannot be read are left out. */
export async function parentJobs(queues: BenchmarkQueues, states: JobType[]): Promise<Job<ParentData>[]> {
  const jobs: Job[] = await queues.parents.getJobs(states)
  return jobs.filter(({ id, queueName, data }) => {
    const { fault } = check(ParentData, data)
    if (fault !== undefined)
      queues.leftOut.report(`${queueName} ${id}`, `job ${id} of queue ${queueName}: ${fault}`)
    return fault === undefined
  })
}

/** Undefined if there is no such benchmark, or if it is no longer kept. @throws ScissionError notReady if it cannot be read. */
export async function readBenchmark(queues: BenchmarkQueues, id: string): Promise<Benchmark | undefined> {
  if (!BENCHMARK_ID.test(id)) return undefined
  const job: Job | undefined = await queues.parents.getJob(id)
  return job && viewOf(queues, job)
}

export async function viewOf(queues: BenchmarkQueues, job: Job): Promise<Benchmark> {
  const id = job.id ?? ''
  const data = jobData(ParentData, job)
  const ended = ParentResult.safeParse(job.returnvalue)
  const { parts, cancelled } = ended.success ? ended.data : await readParts(queues, id, data)
  return {
    id,
    model: data.model,
    shapesKey: data.shapesKey,
    state: stateOf(parts, cancelled),
    progress: overall(parts),
    parts,
    notes: data.notes,
    owner: data.owner,
    createdAt: data.createdAt,
  }
}

export async function readParts(
  queues: BenchmarkQueues,
  id: string,
  data: Pick<ParentData, 'resources' | 'reused'>,
): Promise<ParentResult> {
  const jobs = await Promise.all(data.resources.map((resource) => readChild(queues, id, resource)))
  // After the jobs: whoever ends a part says why before its job is removed.
  const [ends, cancelled] = await Promise.all([
    queues.redis.hgetall(endsKey(id)),
    queues.redis.exists(cancelKey(id)),
  ])
  const parts = data.resources.map((resource, index): BenchmarkPart => {
    const reused = entryOf(data.reused, resource)
    if (reused) {
      const progress = { fraction: 1, step: 'reused' }
      const { profile, measuredAt: reusedFrom } = reused
      return { resource, state: 'completed', progress, profile, reusedFrom }
    }
    const reason = entryOf(ends, resource)
    const { state = 'unknown', child } = jobs[index] ?? {}
    if (reason !== undefined)
      return { resource, state: 'failed', progress: progressOf(child, 'failed'), error: reason }
    return { resource, ...(child ? childPart(child, state, cancelled === 1) : missingPart(cancelled === 1)) }
  })
  return { parts, cancelled: cancelled === 1 }
}

async function readChild(
  queues: BenchmarkQueues,
  id: string,
  resource: string,
): Promise<{ state: JobType | 'unknown'; child: Job | undefined }> {
  const [queue, jobId] = [queues.of(resource), childId(id, resource)]
  // The state first: of a job that completes between the two reads, the result is known then.
  const state = await queue.getJobState(jobId)
  return { state, child: await queue.getJob(jobId) }
}

/** The state of a part whose job is not in the queue: cancelling a waiting part removes its job. */
function missingPart(cancelled: boolean): Omit<BenchmarkPart, 'resource'> {
  const [state, error] = cancelled
    ? (['cancelled', 'cancelled before it started'] as const)
    : (['failed', 'its job is no longer in the queue'] as const)
  return { state, progress: { fraction: 0, step: state }, error }
}

function childPart(
  child: Job,
  state: JobType | 'unknown',
  cancelled: boolean,
): Omit<BenchmarkPart, 'resource'> {
  if (state === 'completed') {
    const profile: unknown = child.returnvalue
    return { state, progress: { fraction: 1, step: 'done' }, ...(typeof profile === 'string' && { profile }) }
  }
  if (state === 'failed') {
    const seen = cancelled ? 'cancelled' : 'failed'
    return { state: seen, progress: progressOf(child, seen), error: child.failedReason }
  }
  if (state === 'active') return { state, progress: progressOf(child, 'started') }
  return { state: 'waiting', progress: { fraction: 0, step: 'waiting' } }
}

function progressOf(child: Job | undefined, step: string): BenchmarkProgress {
  const parsed = BenchmarkProgress.safeParse(child?.progress)
  return parsed.success ? parsed.data : { fraction: 0, step }
}

/** Completed if every part is; failed or cancelled after all parts ended and at least one did not complete. */
function stateOf(parts: readonly BenchmarkPart[], cancelled: boolean): PartState {
  if (parts.every((part) => part.state === 'completed')) return 'completed'
  if (parts.every((part) => part.state === 'waiting')) return 'waiting'
  if (parts.some((part) => isUnderWay(part.state))) return 'active'
  return cancelled ? 'cancelled' : 'failed'
}

/** Resources work in parallel: the mean of their fractions is the progress, the slowest decides the remaining time. */
function overall(parts: readonly BenchmarkPart[]): BenchmarkProgress {
  const fractions = parts.map((part) => (isUnderWay(part.state) ? part.progress.fraction : 1))
  const done = parts.filter((part) => !isUnderWay(part.state)).length
  const remaining = parts.flatMap((part) =>
    isUnderWay(part.state) && part.progress.remainingMs !== undefined ? [part.progress.remainingMs] : [],
  )
  return {
    fraction: fractions.reduce((sum, fraction) => sum + fraction, 0) / parts.length,
    step: `${done} of ${parts.length} resources ended`,
    ...(remaining.length > 0 && { remainingMs: Math.max(...remaining) }),
  }
}
