/**
 * Watches benchmarks under way, so that none stays so for ever: a part fails if its resource went down, or if it showed
 * no sign of life for `benchmarkTimeoutMs`. For a part that waits behind another job of its resource, the progress of that
 * job counts as a sign of life. Each benchmark has one delayed job, which any replica may process; the job is added again
 * until all parts have ended. A check that fails is made again: a benchmark whose watch ended early could stay under way for
 * ever.
 */
import { type Job, UnrecoverableError } from 'bullmq'
import { z } from 'zod'
import type { BenchmarkPart } from '../../../shared/contracts/profile.ts'
import { withLiveness } from '../../../shared/contracts/resource.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { jobData } from '../../../shared/platform/redis/queues.ts'
import { type BenchmarkDeps, type BenchmarkQueues, childId } from './benchmark-queues.ts'
import { endPart } from './end-benchmark.ts'
import { isUnderWay, readBenchmark } from './benchmark-view.ts'
import { entryOf } from '../../../shared/platform/entry-of.ts'

/** Missed heartbeats after which a resource counts as gone; a restart of its service takes less time. */
const GONE_HEARTBEATS = 10
/** Limits in ms of the interval between two checks, see `scheduleCheck`. */
const CHECK_INTERVAL_MS = { min: 250, max: 5000 }
/** Attempts at one check, which fail while Redis is away or a record cannot be read: 14 hours of them at 5 s each. */
const MAX_CHECK_ATTEMPTS = 10_000

/** The last observed progress of an unfinished part, and since when (epoch ms) it has not changed. */
const LifeSign = z.object({ sign: z.string(), since: z.number() })
type LifeSign = z.infer<typeof LifeSign>

/** `seen`: resource → sign of life at the last check. */
const WatchData = z.object({ benchmark: z.string(), seen: z.record(z.string(), LifeSign) })
type WatchData = z.infer<typeof WatchData>

type WatchDeps = Pick<BenchmarkDeps, 'state' | 'queues' | 'heartbeatMs' | 'benchmarkTimeoutMs' | 'now'>

/** Starts watching a benchmark. Must be called before its jobs are added. */
export async function startWatch(deps: WatchDeps, benchmark: string, resources: readonly string[]) {
  const seen = Object.fromEntries(resources.map((name) => [name, { sign: SILENT, since: deps.now() }]))
  await scheduleCheck(deps, { benchmark, seen })
}

/** Checks a benchmark once: ends parts that are lost and schedules the next check. */
export async function watch(deps: WatchDeps, job: Job, log: Logger): Promise<void> {
  const { benchmark: id, seen } = dataOf(job)
  const benchmark = await readBenchmark(deps.queues, id)
  const open = benchmark?.parts.filter((part) => isUnderWay(part.state)) ?? []
  const still: WatchData['seen'] = {}
  for (const part of open) {
    const sign = await lifeSign(deps.queues, id, part.resource)
    const before = entryOf(seen, part.resource)
    const now: LifeSign = before?.sign === sign ? before : { sign, since: deps.now() }
    const reason = await whyEnd(deps, part, now)
    if (reason === undefined) still[part.resource] = now
    else {
      log.warn({ benchmark: id }, reason)
      await endPart(deps.queues, id, part.resource, reason)
    }
  }
  if (Object.keys(still).length > 0) await scheduleCheck(deps, { benchmark: id, seen: still })
}

/** @throws UnrecoverableError, because another attempt would find the same data. */
function dataOf(job: Job): WatchData {
  try {
    return jobData(WatchData, job)
  } catch (thrown) {
    throw new UnrecoverableError(coerceError(thrown).message)
  }
}

async function scheduleCheck(deps: WatchDeps, data: WatchData): Promise<void> {
  const often = Math.max((GONE_HEARTBEATS * deps.heartbeatMs) / 4, CHECK_INTERVAL_MS.min)
  const delay = Math.min(often, CHECK_INTERVAL_MS.max, deps.benchmarkTimeoutMs)
  const attempts = { attempts: MAX_CHECK_ATTEMPTS, backoff: { type: 'fixed', delay } }
  const ended = { removeOnComplete: true, removeOnFail: true }
  await deps.queues.watches.add('watch', data, { delay, ...attempts, ...ended })
}

/** The reason to end a part, or undefined if it may go on. */
async function whyEnd(
  deps: WatchDeps,
  { resource, state }: BenchmarkPart,
  { since }: LifeSign,
): Promise<string | undefined> {
  const silentMs = deps.now() - since
  if (silentMs >= deps.benchmarkTimeoutMs)
    return `resource ${resource} showed no sign of life for ${deps.benchmarkTimeoutMs} ms (state: ${state})`
  if (silentMs < GONE_HEARTBEATS * deps.heartbeatMs) return undefined
  const record = await deps.state.resources.get(resource)
  if (!record) return `resource ${resource} was shut down`
  if (withLiveness(record, deps.heartbeatMs, deps.now()).alive) return undefined
  return `resource ${resource} is down: no heartbeat since ${record.heartbeatAt}`
}

const SILENT = 'silent'

/** A text that changes whenever the resource makes progress with this part, or with the job it has to finish before. */
async function lifeSign(queues: BenchmarkQueues, id: string, resource: string): Promise<string> {
  const active = await queues.of(resource).getActive()
  const own = active.find((job) => job.id === childId(id, resource))
  const current = own ?? active[0]
  return current ? `${current.id} ${JSON.stringify(current.progress)}` : SILENT
}
