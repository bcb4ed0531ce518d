/**
 * Watches benchmarks under way, so that none stays so for ever: a part fails if its resource went down, or if it showed
 * no sign of life for `benchmarkTimeoutMs`. For a part that waits behind another job of its resource, the progress of that
 * job counts as a sign of life.
 *
 * Every replica looks at all of them, by its own monotonic clock and with all its patience from its start on; a part that two of
 * them end is ended once. Delayed jobs would not do: one comes due by the calendar of the replica that added it, and BullMQ takes
 * it up by that of the replica that looks.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Job } from 'bullmq'
import type { BenchmarkPart } from '../../../shared/contracts/profile.ts'
import { withLiveness } from '../../../shared/contracts/resource.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { type BenchmarkDeps, childId } from './benchmark-queues.ts'
import { isUnderWay, parentJobs, viewOf } from './benchmark-view.ts'
import { endPart } from './end-benchmark.ts'

/** Missed heartbeats after which a resource counts as gone; a restart of its service takes less time. */
const GONE_HEARTBEATS = 10
/** Limits in ms of the interval between two looks. */
const INTERVAL_MS = { min: 250, max: 5000 }

/** The last observed progress of an unfinished part, and since when (`performance.now()`) it has not changed. */
interface LifeSign {
  sign: string
  since: number
}

type WatchDeps = Pick<BenchmarkDeps, 'state' | 'queues' | 'heartbeatMs' | 'benchmarkTimeoutMs' | 'now'>

export class BenchmarkWatch {
  readonly #deps: WatchDeps
  readonly #log: Logger
  readonly #stopping = new AbortController()
  /** Part → its sign of life at the last look. */
  #seen: ReadonlyMap<string, LifeSign> = new Map()
  /** Silence is counted from here on: while Redis was away nobody could give a sign of life. */
  #connectedAt = performance.now()
  readonly #connected = () => {
    this.#connectedAt = performance.now()
  }

  constructor(deps: WatchDeps, log: Logger) {
    this.#deps = deps
    this.#log = log
    deps.state.redis.on('ready', this.#connected)
    void this.#watch()
  }

  close(): void {
    this.#stopping.abort()
    this.#deps.state.redis.off('ready', this.#connected)
  }

  async #watch(): Promise<void> {
    const { heartbeatMs, benchmarkTimeoutMs } = this.#deps
    const { signal } = this.#stopping
    const often = Math.max((GONE_HEARTBEATS * heartbeatMs) / 4, INTERVAL_MS.min)
    const everyMs = Math.min(often, INTERVAL_MS.max, benchmarkTimeoutMs)
    while (!signal.aborted) {
      // The connection reports that Redis is away.
      await this.#look().catch((thrown: unknown) =>
        this.#log.debug({ err: coerceError(thrown) }, 'benchmarks under way could not be looked at'),
      )
      await sleep(everyMs, undefined, { ref: false, signal }).catch(() => undefined)
    }
  }

  async #look(): Promise<void> {
    const { queues } = this.#deps
    const still = new Map<string, LifeSign>()
    const active = new Map<string, Promise<Job[]>>()
    const activeOn = (resource: string) => {
      const jobs = active.get(resource) ?? queues.of(resource).getActive()
      active.set(resource, jobs)
      return jobs
    }
    for (const job of await parentJobs(queues, ['waiting-children'])) {
      const { id, parts } = await viewOf(queues, job)
      for (const part of parts.filter(({ state }) => isUnderWay(state))) {
        const name = childId(id, part.resource)
        const sign = lifeSign(await activeOn(part.resource), name)
        const before = this.#seen.get(name)
        const now = before?.sign === sign ? before : { sign, since: performance.now() }
        if (!(await this.#ended(id, part, now))) still.set(name, now)
      }
    }
    this.#seen = still
  }

  /** Ends the part if there is a reason to. One that cannot be judged or ended keeps no other from it, and is tried again. */
  async #ended(id: string, part: BenchmarkPart, { since }: LifeSign): Promise<boolean> {
    const { queues } = this.#deps
    const piece = `the watch over ${childId(id, part.resource)}`
    try {
      const silentMs = performance.now() - Math.max(since, this.#connectedAt)
      const reason = await whyEnd(this.#deps, part, silentMs)
      if (reason === undefined) return false
      this.#log.warn({ benchmark: id }, reason)
      await endPart(queues, id, part.resource, reason)
      queues.leftOut.forget(piece)
      return true
    } catch (thrown) {
      queues.leftOut.report(piece, `${piece}: ${coerceError(thrown).message}`)
      return false
    }
  }
}

/** The reason to end a part, or undefined if it may go on. */
async function whyEnd(
  deps: WatchDeps,
  { resource, state }: BenchmarkPart,
  silentMs: number,
): Promise<string | undefined> {
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
function lifeSign(active: readonly Job[], part: string): string {
  const own = active.find((job) => job.id === part)
  const current = own ?? active[0]
  return current ? `${current.id} ${JSON.stringify(current.progress)}` : SILENT
}
