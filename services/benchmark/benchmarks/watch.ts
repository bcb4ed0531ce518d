/**
 * Looks after benchmarks under way, so that none waits for ever: a part fails alone when its resource went down, or
 * when it showed no sign of life for `benchmarkTimeoutMs`. A part that waits behind another job of its resource lives
 * as long as that job does. One delayed job per benchmark, taken up by any replica, put back until all parts ended.
 */
import { withLiveness } from '../../../shared/contracts/alive.ts'
import type { BenchmarkPart } from '../../../shared/contracts/profile.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { type BenchmarkQueues, childId, type LifeSign, WatchData } from './queues.ts'
import { endPart } from './end-benchmark.ts'
import type { BenchmarkParts } from './benchmark-deps.ts'
import { isUnderWay, readBenchmark } from './benchmark-view.ts'

/** How long a resource may be gone, in heartbeats: a restart of the service is shorter. */
const GONE_HEARTBEATS = 10
/** Often enough to notice that soon, see `lookAgain`. */
const LOOK_EVERY_MS = { least: 250, most: 5000 }

type WatchParts = Pick<BenchmarkParts, 'state' | 'queues' | 'heartbeatMs' | 'benchmarkTimeoutMs' | 'now'>

/** Puts a benchmark under watch; to be called before its jobs are there. */
export async function startWatch(parts: WatchParts, benchmark: string, resources: readonly string[]) {
  const seen = Object.fromEntries(resources.map((name) => [name, { sign: SILENT, since: parts.now() }]))
  await lookAgain(parts, { benchmark, seen })
}

/** One look at a benchmark. */
export async function watch(parts: WatchParts, data: unknown, log: Logger): Promise<void> {
  const { benchmark: id, seen } = WatchData.parse(data)
  const benchmark = await readBenchmark(parts.queues, id)
  const open = benchmark?.parts.filter((part) => isUnderWay(part.state)) ?? []
  const still: WatchData['seen'] = {}
  for (const part of open) {
    const sign = await lifeSign(parts.queues, id, part.resource)
    const before = seen[part.resource]
    const now: LifeSign = before?.sign === sign ? before : { sign, since: parts.now() }
    const reason = await whyEnd(parts, part, now)
    if (reason === undefined) still[part.resource] = now
    else {
      log.warn({ benchmark: id }, reason)
      await endPart(parts.queues, id, part.resource, reason)
    }
  }
  if (Object.keys(still).length > 0) await lookAgain(parts, { benchmark: id, seen: still })
}

async function lookAgain(parts: WatchParts, data: WatchData): Promise<void> {
  const often = Math.max((GONE_HEARTBEATS * parts.heartbeatMs) / 4, LOOK_EVERY_MS.least)
  const delay = Math.min(often, LOOK_EVERY_MS.most, parts.benchmarkTimeoutMs)
  await parts.queues.watches.add('watch', data, { delay, removeOnComplete: true, removeOnFail: true })
}

/** The reason to end a part, or undefined to go on waiting. */
async function whyEnd(
  parts: WatchParts,
  { resource, state }: BenchmarkPart,
  { since }: LifeSign,
): Promise<string | undefined> {
  const silentMs = parts.now() - since
  if (silentMs >= parts.benchmarkTimeoutMs)
    return `resource ${resource} showed no sign of life for ${parts.benchmarkTimeoutMs} ms (state: ${state})`
  if (silentMs < GONE_HEARTBEATS * parts.heartbeatMs) return undefined
  const record = await parts.state.resources.get(resource)
  if (!record) return `resource ${resource} was shut down`
  if (withLiveness(record, parts.heartbeatMs, parts.now()).alive) return undefined
  return `resource ${resource} is down: no heartbeat since ${record.heartbeatAt}`
}

const SILENT = 'silent'

/** Changes whenever the resource gets on: with this part, or with the job that it has to finish before. */
async function lifeSign(queues: BenchmarkQueues, id: string, resource: string): Promise<string> {
  const active = await queues.of(resource).getActive()
  const own = active.find((job) => job.id === childId(id, resource))
  const current = own ?? active[0]
  return current ? `${current.id} ${JSON.stringify(current.progress)}` : SILENT
}
