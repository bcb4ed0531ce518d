/**
 * Watches the pace of this machine for as long as the service lives: runs the reference network now and then while no
 * request is under way, and takes each served stage as a sample of it. What they say is stored in Redis for planners.
 */
import os from 'node:os'
import type { Pace } from '../../../shared/contracts/pace.ts'
import { REFERENCE_NETWORK } from '../../../shared/contracts/pace-network.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { readCgroupLimits, throttling } from '../../../shared/platform/cgroup.ts'
import { waitAtMost } from '../../../shared/platform/deadline.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { median } from '../../../shared/platform/statistics.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'
import { CallTimes } from './call-times.ts'
import { watchOthers } from './other-load.ts'
import { PaceHistory, type PaceSample } from './pace-history.ts'
import { AT_MOST_EVERY_MS, isWorthTelling } from './pace-change.ts'
import { QuotaUse, type ServedRequest } from './quota-use.ts'
import type { ReferenceTime } from './reference-runs.ts'

export interface PaceSamplerDeps extends Pick<Resource, 'name' | 'slowdown'> {
  threads: number
  /** Where the reference network is kept. */
  file: string
  /** Between two samples at least. @defaultValue 1000 */
  intervalMs?: number
  state: Pick<State, 'paces'>
  log: Logger
  /** True while a request is being computed: its stage is a sample itself. */
  busy: () => boolean
  /** False while the name is not this service's: then its pace is nobody's but its own, and is told to none. */
  isOwner: () => boolean
  /** ms of a message of this service to itself, to begin with. */
  ownCallMs?: () => Promise<number>
}

const INTERVAL_MS = 1000
/** Until there are so many samples they are taken more often: plans are asked for as soon as services are up. */
const FIRST_SAMPLES = 15
const FIRST_PART = 0.2
/** A slow machine is asked less often: samples take at most this part of one core. */
const MOST_OF_A_CORE = 0.005
/** Runs of the reference network in a sample. */
const RUNS = 4
/** Stages that are served in quick succession are one sample of the pace. */
const SERVED_EVERY_MS = 200
/** A sample takes milliseconds, the first one a second. */
const MAX_CLOSE_MS = 5000
/** Other load is the median over so many looks: a burst of another service is no load. */
const LOOKS = 3

/**
 * CPU time of a sample while no core is free: about as long as a stage, which has to share one. No rarer, since loads change:
 * then samples take twice the part of a core.
 */
const SHARED_MS = 10
/** From so much less than all cores on, none is free for the length of a stage. */
const FREE_CORES = 0.5

/** What the thread is told. */
export interface PaceWork extends Pick<PaceSamplerDeps, 'threads' | 'file'> {
  /** CPU time of the sample at least. */
  leastMs: number
}

export class PaceSampler {
  readonly #deps: PaceSamplerDeps
  readonly #history: PaceHistory
  readonly #calls = new CallTimes()
  readonly #thread: WorkThread<PaceWork, ReferenceTime>
  #timer: NodeJS.Timeout | undefined
  #others = watchOthers()
  #loads: number[] = []
  #pauses = 0
  #taken = 0
  #servedAt = 0
  #throttled = throttling()?.stops
  readonly #quotaUse = new QuotaUse()
  #told: { pace: Pace; atMs: number } | undefined
  /** Resolves when the sample under way is taken. */
  #sampling: Promise<void> = Promise.resolve()
  #closed = false

  constructor(deps: PaceSamplerDeps) {
    this.#deps = deps
    this.#history = new PaceHistory(deps.slowdown)
    this.#thread = new WorkThread({
      entry: threadModule(new URL('./pace-worker.ts', import.meta.url)),
      name: 'the thread that watches the pace of this machine',
      maxPieces: 1,
      busy: () => 'a sample of the pace is being taken',
    })
  }

  get file(): string {
    return this.#deps.file
  }

  /** Begins to sample. */
  start(): void {
    this.#deps
      .ownCallMs?.()
      .then((ms) => this.#calls.own(ms))
      .catch((error: unknown) =>
        this.#deps.log.debug({ err: coerceError(error) }, 'the cost of a message was not measured'),
      )
    this.#next(FIRST_PART * (this.#deps.intervalMs ?? INTERVAL_MS))
  }

  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#timer)
    // A thread that is ended while ONNX Runtime computes ends the process with it.
    const isTaken = await waitAtMost(
      this.#sampling.then(() => true),
      MAX_CLOSE_MS,
      false,
    )
    if (isTaken) await this.#thread.close()
  }

  /** A profile is being measured, which would be taken for other load. @returns ends the pause. */
  pause(): () => void {
    this.#pauses += 1
    let paused = true
    return () => {
      if (paused) this.#pauses -= 1
      paused = false
      this.#watchAnew()
    }
  }

  /** Samples that a profile took beside its runs, of CPU time only: it runs with a low priority. */
  readonly profiled = (samplesMs: readonly { agoMs: number; cpuMs: number }[]): void => {
    const now = performance.now()
    for (const { agoMs, cpuMs } of samplesMs)
      this.#add({ atMs: now - agoMs, source: 'idle', cpuMs, waiting: undefined })
    this.#tell(true)
  }

  /**
   * @param cpuMs CPU time of a served stage, divided by its share of the reference network. @param waiting wall / CPU time.
   */
  served(cpuMs: number, waiting: number): void {
    const now = performance.now()
    if (now - this.#servedAt < SERVED_EVERY_MS) return
    this.#servedAt = now
    this.#add({ atMs: now, source: 'served', cpuMs, waiting: this.#wasStopped() ? undefined : waiting })
  }

  /** A request was answered. @param ms beside the run of its stage, and without later hops. */
  called(ms: number, run: { cpuMs: number; wallMs: number }): void {
    const atMs = performance.now()
    if (!this.#wasLate(ms, { ...run, atMs })) this.#calls.served(ms, atMs)
  }

  /** Whether a quota stopped the request outside of its run. */
  #wasLate(ms: number, run: Omit<ServedRequest, 'lateMs'>): boolean {
    // The CPU time of several threads says nothing about how long they stood.
    if (!this.#quotaUse.isKnown || this.#deps.threads > 1) return false
    return this.#quotaUse.served({ ...run, lateMs: ms - (this.#calls.usualMs ?? ms) })
  }

  /** What is known now; undefined before the first sample. */
  pace(): Pace | undefined {
    const { name, threads } = this.#deps
    const now = performance.now()
    const figures = this.#history.figures(now)
    if (!figures) return undefined
    const { cpu } = readCgroupLimits()
    const callMs = this.#calls.spread(now)
    const quotaSeen = cpu && this.#quotaUse.seen(cpu, now)
    return {
      resource: name,
      network: REFERENCE_NETWORK,
      threads,
      ...figures,
      ...(cpu && { quota: cpu }),
      ...(quotaSeen && { quotaSeen }),
      ...(callMs && { callMs }),
      measuredAt: new Date().toISOString(),
    }
  }

  #next(inMs: number): void {
    if (this.#closed) return
    const begin = () => {
      this.#sampling = this.#sample()
    }
    this.#timer = setTimeout(begin, inMs).unref()
  }

  async #sample(): Promise<void> {
    const { intervalMs = INTERVAL_MS, threads, file, busy, log } = this.#deps
    const soonestMs = this.#taken < FIRST_SAMPLES ? FIRST_PART * intervalMs : intervalMs
    let waitMs = soonestMs
    try {
      if (this.#pauses === 0) this.#look()
      this.#readQuota()
      if (this.#pauses === 0 && !busy()) {
        this.#wasStopped()
        const leastMs = this.#isShared() ? SHARED_MS : 0
        const { cpuMs, waiting } = await this.#thread.run({ threads, file, leastMs })
        const atMs = performance.now()
        // A request or a profile that came meanwhile has had a part in it.
        if (this.#pauses === 0 && !busy())
          this.#add({ atMs, source: 'idle', cpuMs, waiting: this.#wasStopped() ? undefined : waiting })
        const spareMs = this.#taken < FIRST_SAMPLES ? 0 : (RUNS * cpuMs) / MOST_OF_A_CORE
        waitMs = Math.max(soonestMs, spareMs)
      }
      this.#tell(this.#taken === FIRST_SAMPLES)
    } catch (error) {
      if (!this.#closed) log.debug({ err: coerceError(error) }, 'a sample of the pace failed')
    }
    this.#next(waitMs)
  }

  #add(sample: Omit<PaceSample, 'otherCores'>): void {
    this.#taken += 1
    this.#history.add({ ...sample, otherCores: this.#loads.length > 0 ? median(this.#loads) : undefined })
  }

  #isShared(): boolean {
    return this.#loads.length > 0 && median(this.#loads) >= os.availableParallelism() - FREE_CORES
  }

  #look(): void {
    const cores = this.#others()
    this.#others = watchOthers()
    if (cores !== undefined) this.#loads = [...this.#loads.slice(1 - LOOKS), cores]
  }

  /** What a profile under way uses up is not the load that requests meet. */
  #readQuota(): void {
    const { cpu } = readCgroupLimits()
    const stopped = cpu && throttling()
    if (!stopped) return
    const { user, system } = process.cpuUsage()
    const reading = { ...stopped, atMs: performance.now(), cpuMs: (user + system) / 1000 }
    this.#quotaUse.read(reading, cpu, this.#pauses === 0)
  }

  #watchAnew(): void {
    this.#others = watchOthers()
  }

  /** True if a quota stopped this process since the last call. */
  #wasStopped(): boolean {
    const before = this.#throttled
    this.#throttled = throttling()?.stops
    return before !== undefined && this.#throttled !== undefined && this.#throttled > before
  }

  #tell(now: boolean): void {
    if (!this.#deps.isOwner()) {
      // Whoever has the name tells another pace under it: once the name is back, this one is news.
      this.#told = undefined
      return
    }
    const atMs = performance.now()
    const sinceMs = atMs - (this.#told?.atMs ?? -Infinity)
    if (!now && sinceMs < AT_MOST_EVERY_MS) return
    const pace = this.pace()
    if (!pace) return
    if (!now && !isWorthTelling(this.#told?.pace, pace, sinceMs)) return
    this.#told = { pace, atMs }
    const { state, log } = this.#deps
    state.paces
      .put(pace.resource, pace)
      .catch((error: unknown) => log.debug({ err: coerceError(error) }, 'the pace was not stored'))
  }
}
