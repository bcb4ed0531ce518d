/**
 * Turns at a resource's queue, which benchmarks and calibrations share: one client's jobs alternate with those of another, and how
 * many of them may wait is bounded.
 *
 * A job is given a round when it is added: the round that is being worked on, or the one behind the client's last job if that is
 * later. BullMQ takes lower rounds first, and jobs of one round in the order in which they came. So fifty jobs of one client are in
 * fifty rounds, and a first job of another is in the present one. Nobody falls behind for ever: rounds only go on. Round and client
 * are in the job itself, in Redis: replicas of this service and restarts change nothing. Jobs of older versions have no round, and
 * come first.
 */
import { createHash } from 'node:crypto'
import type { Job, JobType, Queue } from 'bullmq'
import type { Redis } from 'ioredis'
import { z } from 'zod'
import { ScissionError } from '../../shared/platform/errors.ts'
import type { Asker } from '../../shared/platform/fair-queue.ts'
import { withLock } from '../../shared/platform/redis/lock.ts'

/** Jobs that may wait for one resource. */
const WAITING = { ofClient: 64, ofAll: 512 }

/** BullMQ's largest priority. It would take a queue that is never empty for weeks; from then on jobs come in their order. */
const LAST_ROUND = 2 ** 21 - 1

/** How a job is added. */
export interface JobTurn {
  /** The client, as far as its other jobs can be told by it. */
  asker: string
  /** Resource → round, BullMQ's priority. */
  rounds: ReadonlyMap<string, number>
}

interface Queues {
  redis: Redis
  of: (resource: string) => Queue
}

/**
 * Adds a job to the queue of each resource.
 * @param add adds them with this asker and these rounds, before any other of this system is added.
 * @throws ScissionError tooManyRequests if too many jobs of the client wait for one of the resources, overloaded if too many of all
 *   do; what `add` throws.
 */
export async function inTurn<T>(
  queues: Queues,
  resources: readonly string[],
  { client }: Asker,
  add: (turn: JobTurn) => Promise<T>,
): Promise<T> {
  const asker = createHash('sha256').update(client).digest('hex').slice(0, 16)
  if (resources.length === 0) return add({ asker, rounds: new Map() })
  return withLock(queues.redis, 'job-turns', async () => {
    const roundOn = async (resource: string) =>
      [resource, await nextRound(queues.of(resource), resource, asker)] as const
    return add({ asker, rounds: new Map(await Promise.all(resources.map(roundOn))) })
  })
}

async function nextRound(queue: Queue, resource: string, asker: string): Promise<number> {
  const [active, waiting] = await Promise.all([
    readJobs(queue, ['active']),
    readJobs(queue, ['waiting', 'prioritized']),
  ])
  const own = waiting.filter((job) => askerOfJob(job) === asker)
  if (own.length >= WAITING.ofClient)
    throw new ScissionError(
      'tooManyRequests',
      `${own.length} jobs of this client wait for resource ${resource} already, which is the limit; ask again when some of ` +
        'them are done, or cancel some',
      { resource, limit: WAITING.ofClient },
    )
  if (waiting.length >= WAITING.ofAll)
    throw new ScissionError(
      'overloaded',
      `${waiting.length} jobs wait for resource ${resource} already, which is the limit; ask again when some of them are done`,
      { resource, limit: WAITING.ofAll },
    )
  const underWay = active.length > 0 ? active : waiting
  const present = underWay.length > 0 ? Math.max(1, Math.min(...underWay.map(roundOf))) : 1
  const ownLast = [...active.filter((job) => askerOfJob(job) === asker), ...own].map(roundOf)
  return Math.min(LAST_ROUND, Math.max(present, ...ownLast.map((round) => round + 1)))
}

/** A job that is removed meanwhile, or that cannot be read, is none. */
const readJobs = async (queue: Queue, states: JobType[]) =>
  ((await queue.getJobs(states)) as (Job | undefined)[]).filter((job) => job !== undefined)

const roundOf = ({ priority }: Job): number => (Number.isSafeInteger(priority) ? priority : 0)

const Asked = z.object({ asker: z.string() })
const askerOfJob = ({ data }: Job): string | undefined => Asked.safeParse(data).data?.asker
