/**
 * How often the load of now used up the quota of CPU time that this process has: as served requests met it, and
 * before there were enough of them as the control group counts it, also while nobody waited. Pure.
 */
import type { CpuQuota, QuotaSeen } from '../../../shared/contracts/pace.ts'
import { sum } from '../../../shared/platform/statistics.ts'
import type { Throttling } from '../../../shared/platform/cgroup.ts'

/** Other requests meet other stops: short ones with pauses few, long ones many. */
const RECENT_MS = 30_000
/** Of the quota: times with less work show nothing of what work does. */
const MIN_WORK = 0.1
/** Quotas' worth of CPU time below which nothing is known. */
const MIN_QUOTAS = 5
/** Beside the runs of stages requests need CPU time too, which is not counted: a stage may meet more stops than it uses quotas. */
const MOST = 3
/** A run that takes so much longer by the clock than it computes was stopped; less is what other work costs it. */
const MIN_STOP_MS = 3
const MIN_STOP_PART = 0.2

interface Reading extends Throttling {
  atMs: number
  /** CPU time of this process since its beginning. */
  cpuMs: number
}

export interface ServedRequest {
  atMs: number
  /** Of the run of its stage. */
  cpuMs: number
  wallMs: number
  lateMs: number
}

/** Served requests are added up by this. */
const TOGETHER_MS = 1000

export class QuotaUse {
  #quota: CpuQuota | undefined
  #served: Reading[] = []
  #last: Reading | undefined
  #spans: Reading[] = []

  /**
   * Is told now and then, about once a second.
   * @param counts false if what happened since the last reading is not what requests meet.
   */
  read(reading: Reading, { quotaMs, periodMs }: CpuQuota, counts = true): void {
    const last = this.#last
    this.#last = reading
    this.#quota = { quotaMs, periodMs }
    if (!last || !counts) return
    const span = {
      atMs: reading.atMs,
      cpuMs: reading.cpuMs - last.cpuMs,
      stops: reading.stops - last.stops,
      stoppedMs: reading.stoppedMs - last.stoppedMs,
    }
    const quotas = (reading.atMs - last.atMs) / periodMs
    if (span.cpuMs >= MIN_WORK * quotas * quotaMs) this.#spans.push(span)
    this.#spans = this.#spans.filter(({ atMs }) => reading.atMs - atMs <= RECENT_MS)
  }

  /**
   * A request was served, its stage on one thread.
   * @param lateMs how much longer than usual the rest of it took: where a stage uses the quota up, its answer waits.
   * @returns true if the rest was stopped: it says nothing of what it usually takes.
   */
  served({ atMs, cpuMs, wallMs, lateMs }: ServedRequest): boolean {
    if (!this.#quota) return false
    const standsMs = wallMs - cpuMs
    const inRun = standsMs >= Math.max(MIN_STOP_MS, MIN_STOP_PART * cpuMs) ? standsMs : 0
    const inRest = lateMs >= MIN_STOP_MS ? lateMs : 0
    const stoodMs = inRun + inRest
    const longestMs = this.#quota.periodMs - this.#quota.quotaMs
    const sums = this.#sumsAt(atMs)
    sums.cpuMs += cpuMs
    sums.stops += stoodMs > 0 ? Math.max(1, Math.round(stoodMs / longestMs)) : 0
    sums.stoppedMs += stoodMs
    return inRest > 0
  }

  #sumsAt(atMs: number): Reading {
    const last = this.#served.at(-1)
    if (last && atMs - last.atMs < TOGETHER_MS) return last
    const next = { atMs, cpuMs: 0, stops: 0, stoppedMs: 0 }
    this.#served = [...this.#served.filter((sums) => atMs - sums.atMs <= RECENT_MS), next]
    return next
  }

  /** Whether there is a quota. */
  get isKnown(): boolean {
    return this.#quota !== undefined
  }

  /** @param nowMs on the clock of the readings. @returns undefined if it has not worked enough. */
  seen(quota: CpuQuota, nowMs: number): QuotaSeen | undefined {
    const served = this.#served.filter(({ atMs }) => nowMs - atMs <= RECENT_MS)
    return toldBy(served, quota, MOST) ?? toldBy(this.#spans, quota, 1)
  }
}

function toldBy(
  spans: readonly Reading[],
  { quotaMs, periodMs }: CpuQuota,
  most: number,
): QuotaSeen | undefined {
  const total = (of: 'cpuMs' | 'stops' | 'stoppedMs') => sum(spans.map((span) => span[of]))
  if (total('cpuMs') < MIN_QUOTAS * quotaMs) return undefined
  const stops = total('stops')
  // At most from the moment at which the quota can be used up to the end of the period.
  const stopMs = stops > 0 ? Math.min(periodMs - quotaMs, total('stoppedMs') / stops) : 0
  return { share: Math.min(most, (stops * quotaMs) / total('cpuMs')), stopMs }
}
