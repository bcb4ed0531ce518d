/**
 * Reads the current state of a benchmark from its jobs in Redis, on any replica. While it is under way, each part is read
 * from its child job; afterwards, from the parent job's return value.
 */
import type { Job } from 'bullmq'
import { type Benchmark, type BenchmarkPart, BenchmarkProgress } from '../../../shared/contracts/profile.ts'
import { type BenchmarkQueues, childId, endsKey, ParentData, ParentResult } from './benchmark-queues.ts'
import { cancelKey } from '../../../shared/platform/redis/queues.ts'

type PartState = Benchmark['state']

export const isUnderWay = (state: PartState): boolean => state === 'waiting' || state === 'active'

/** Undefined if there is no such benchmark, or if it is no longer kept. */
export async function readBenchmark(queues: BenchmarkQueues, id: string): Promise<Benchmark | undefined> {
  const job: Job | undefined = await queues.parents.getJob(id)
  return job && viewOf(queues, job)
}

export async function viewOf(queues: BenchmarkQueues, job: Job): Promise<Benchmark> {
  const id = job.id ?? ''
  const data = ParentData.parse(job.data)
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
    createdAt: data.createdAt,
  }
}

export async function readParts(
  queues: BenchmarkQueues,
  id: string,
  data: Pick<ParentData, 'resources' | 'reused'>,
): Promise<ParentResult> {
  const [ends, cancelled] = await Promise.all([
    queues.redis.hgetall(endsKey(id)),
    queues.redis.exists(cancelKey(id)),
  ])
  const parts = data.resources.map(async (resource): Promise<BenchmarkPart> => {
    const reason = ends[resource]
    const reused = data.reused[resource]
    if (reused) return reusedPart(resource, reused)
    const child: Job | undefined = await queues.of(resource).getJob(childId(id, resource))
    if (reason !== undefined)
      return { resource, state: 'failed', progress: progressOf(child, 'failed'), error: reason }
    return child ? childPart(resource, child, cancelled === 1) : missingPart(resource, cancelled === 1)
  })
  return { parts: await Promise.all(parts), cancelled: cancelled === 1 }
}

const reusedPart = (
  resource: string,
  { profile, measuredAt }: ParentData['reused'][string],
): BenchmarkPart => ({
  resource,
  state: 'completed',
  progress: { fraction: 1, step: 'reused' },
  profile,
  reusedFrom: measuredAt,
})

const waiting = (resource: string): BenchmarkPart => ({
  resource,
  state: 'waiting',
  progress: { fraction: 0, step: 'waiting' },
})

/** The state of a part whose job is not in the queue: cancelling a waiting part removes its job. */
function missingPart(resource: string, cancelled: boolean): BenchmarkPart {
  const [state, error] = cancelled
    ? (['cancelled', 'cancelled before it started'] as const)
    : (['failed', 'its job is no longer in the queue'] as const)
  return { resource, state, progress: { fraction: 0, step: state }, error }
}

async function childPart(resource: string, child: Job, cancelled: boolean): Promise<BenchmarkPart> {
  const state = await child.getState()
  if (state === 'completed') {
    const profile: unknown = child.returnvalue
    return {
      resource,
      state,
      progress: { fraction: 1, step: 'done' },
      ...(typeof profile === 'string' && { profile }),
    }
  }
  if (state === 'failed') {
    const seen = cancelled ? 'cancelled' : 'failed'
    return { resource, state: seen, progress: progressOf(child, seen), error: child.failedReason }
  }
  if (state === 'active') return { resource, state, progress: progressOf(child, 'started') }
  return waiting(resource)
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
