/** How often the load of the last minutes used up the quota of CPU time that this process has. Pure. */
import type { CpuQuota, QuotaSeen } from '../../../shared/contracts/pace.ts'
import type { Throttling } from '../../../shared/platform/cgroup.ts'

const RECENT_MS = 180_000
/** Of the quota: times with less work show nothing of what work does. */
const MIN_WORK = 0.1
/** Quotas' worth of CPU time below which nothing is known. */
const MIN_QUOTAS = 5

interface Reading extends Throttling {
  atMs: number
  /** CPU time of this process since its beginning. */
  cpuMs: number
}

export class QuotaUse {
  #last: Reading | undefined
  #spans: Reading[] = []

  /**
   * Is told now and then, about once a second.
   * @param counts false if what happened since the last reading is not what requests meet.
   */
  read(reading: Reading, { quotaMs, periodMs }: CpuQuota, counts = true): void {
    const last = this.#last
    this.#last = reading
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

  /** @returns undefined if it has not worked enough. */
  seen({ quotaMs, periodMs }: CpuQuota): QuotaSeen | undefined {
    const total = (of: 'cpuMs' | 'stops' | 'stoppedMs') =>
      this.#spans.reduce((sum, span) => sum + span[of], 0)
    if (total('cpuMs') < MIN_QUOTAS * quotaMs) return undefined
    const stops = total('stops')
    // At most from the moment at which the quota can be used up to the end of the period.
    const stopMs = stops > 0 ? Math.min(periodMs - quotaMs, total('stoppedMs') / stops) : 0
    return { share: Math.min(1, (stops * quotaMs) / total('cpuMs')), stopMs }
  }
}
