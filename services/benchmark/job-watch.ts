/**
 * Watches the jobs of resources, parts of benchmarks and calibrations, so that none stays under way for ever: a job fails if its
 * resource went down, or if it showed no sign of life for `benchmarkTimeoutMs`. For a job that waits behind another one of its
 * resource, the progress of that one counts as a sign of life.
 *
 * Every replica looks at all of them, by its own monotonic clock and with all its patience from its start on; a job that two of
 * them end is ended once. Delayed jobs would not do: one comes due by the calendar of the replica that added it, and BullMQ takes
 * it up by that of the replica that looks.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import type { Job } from 'bullmq'
import { withLiveness } from '../../shared/contracts/resource.ts'
import { coerceError } from '../../shared/platform/errors.ts'
import type { Logger } from '../../shared/platform/log.ts'
import type { BenchmarkDeps } from './benchmarks/benchmark-queues.ts'

/** Missed heartbeats after which a resource counts as gone; a restart of its service takes less time. */
const GONE_HEARTBEATS = 10
/** Limits in ms of the interval between two looks. */
const INTERVAL_MS = { min: 250, max: 5000 }

/** A job that is waiting or active. */
export interface WatchedJob {
  /** In the queue of its resource. */
  id: string
  resource: string
  state: string
  /** What is lost with it, for the log: "benchmark 1a2b". */
  of: string
  /** Has it fail, even if its worker is still at it. */
  end: (reason: string) => Promise<void>
}

/** The last observed progress of a job, and since when (`performance.now()`) it has not changed. */
interface LifeSign {
  sign: string
  since: number
}

type WatchDeps = Pick<BenchmarkDeps, 'state' | 'queues' | 'heartbeatMs' | 'benchmarkTimeoutMs' | 'now'>

export class JobWatch {
  readonly #deps: WatchDeps
  readonly #sources: readonly (() => Promise<WatchedJob[]>)[]
  readonly #log: Logger
  readonly #stopping = new AbortController()
  /** Job → its sign of life at the last look. */
  #seen: ReadonlyMap<string, LifeSign> = new Map()
  /** Silence is counted from here on: while Redis was away nobody could give a sign of life. */
  #connectedAt = performance.now()
  readonly #connected = () => {
    this.#connectedAt = performance.now()
  }

  /** @param sources each gives all jobs of a kind that are under way. */
  constructor(deps: WatchDeps, sources: readonly (() => Promise<WatchedJob[]>)[], log: Logger) {
    this.#deps = deps
    this.#sources = sources
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
        this.#log.debug({ err: coerceError(thrown) }, 'jobs under way could not be looked at'),
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
    for (const job of (await Promise.all(this.#sources.map((source) => source()))).flat()) {
      const sign = lifeSign(await activeOn(job.resource), job.id)
      const before = this.#seen.get(job.id)
      const now = before?.sign === sign ? before : { sign, since: performance.now() }
      if (!(await this.#ended(job, now))) still.set(job.id, now)
    }
    this.#seen = still
  }

  /** Ends the job if there is a reason to. One that cannot be judged or ended keeps no other from it, and is tried again. */
  async #ended(job: WatchedJob, { since }: LifeSign): Promise<boolean> {
    const { leftOut } = this.#deps.queues
    const piece = `the watch over job ${job.id}`
    try {
      const silentMs = performance.now() - Math.max(since, this.#connectedAt)
      const reason = await whyEnd(this.#deps, job, silentMs)
      if (reason === undefined) return false
      this.#log.warn(`${job.of}: ${reason}`)
      await job.end(reason)
      leftOut.forget(piece)
      return true
    } catch (thrown) {
      leftOut.report(piece, `${piece}: ${coerceError(thrown).message}`)
      return false
    }
  }
}

/** The reason to end a job, or undefined if it may go on. */
async function whyEnd(
  deps: WatchDeps,
  { resource, state }: WatchedJob,
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

/** A text that changes whenever the resource makes progress with this job, or with the one it has to finish before. */
function lifeSign(active: readonly Job[], id: string): string {
  const own = active.find((job) => job.id === id)
  const current = own ?? active[0]
  return current ? `${current.id} ${JSON.stringify(current.progress)}` : SILENT
}
