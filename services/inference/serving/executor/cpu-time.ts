/**
 * CPU time of a run. On a busy machine it measures the work of the run, while the wall clock also measures waiting.
 *
 * For single-threaded sessions the CPU time of the calling thread is needed. Newer versions of Node provide it; on Linux the
 * scheduler's statistics contain it (/proc/thread-self/schedstat, first number, in ns: see proc(5) and sched-stats.rst).
 * Linux updates both only at a timer tick or when the times of the process are read, so those are read first (measured: an
 * error of 0 to 4 ms without, of microseconds with; two of three runs of 0.5 ms were 0 ms on Node 22 and 24).
 */
import fs from 'node:fs'
import { median } from '../../../../shared/platform/statistics.ts'

/** Returns ms of CPU time used so far. Only differences are meaningful. */
type CpuClock = () => number

const MICROSECONDS = 1000
const NANOSECONDS = 1_000_000

/** CPU time of all threads of this process, for sessions with several threads if nothing else runs in the process. */
const processClock: CpuClock = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / MICROSECONDS
}

/** Starts timing. The returned function returns the ms of CPU time used since. */
export type CpuTimer = () => () => number

/**
 * Creates a timer that subtracts the cost of reading the clock, which is as much as running a very small model.
 * @param threads intra-op threads of the sessions to be timed. Call this on the thread that runs them.
 */
export function cpuTimer(threads: number): CpuTimer {
  const clock = threads > 1 ? processClock : (nodeThreadClock() ?? linuxThreadClock() ?? processClock)
  const costs = Array.from({ length: 31 }, () => -(clock() - clock()))
  const own = median(costs)
  return () => {
    const before = clock()
    return () => Math.max(0, clock() - before - own)
  }
}

function nodeThreadClock(): CpuClock | undefined {
  const usage: unknown = Reflect.get(process, 'threadCpuUsage')
  if (typeof usage !== 'function') return undefined
  return () => {
    process.cpuUsage()
    const { user, system } = usage.call(process) as NodeJS.CpuUsage
    return (user + system) / MICROSECONDS
  }
}

/** Keeps the file open for the life of the thread, because opening it takes longer than reading it. */
function linuxThreadClock(): CpuClock | undefined {
  let file: number
  try {
    file = fs.openSync('/proc/thread-self/schedstat', 'r')
  } catch {
    return undefined // Not Linux, or a kernel without scheduler statistics: the caller uses another clock.
  }
  const text = Buffer.alloc(80)
  return () => {
    process.cpuUsage()
    const length = fs.readSync(file, text, 0, text.length, 0)
    return Number.parseInt(text.toString('latin1', 0, length), 10) / NANOSECONDS
  }
}

/** Monotonic time in ms, comparable between the threads of one process, which performance.now is not. */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}

/** A sleep is too long by 0.1 to 0.3 ms, which the next one corrects. A larger error has another cause and is ignored. */
const MAX_CORRECTION_MS = 1

/**
 * Emulates a slower machine: after a run with c ms of CPU time the thread sleeps (factor − 1) × c ms, so that both together
 * take as long as the run on a machine that is `factor` times slower. While it sleeps, the CPU is free for the other emulated
 * machines.
 */
export class SlowDown {
  readonly #factor: number
  readonly #never = new Int32Array(new SharedArrayBuffer(4))
  #overshotMs = 0

  constructor(factor: number) {
    this.#factor = factor
  }

  /** Blocks this thread. Each sleep corrects the error of the one before, so that the sum is right. @returns ms waited */
  wait(cpuMs: number): number {
    if (this.#factor <= 1) return 0
    const wanted = (this.#factor - 1) * cpuMs - this.#overshotMs
    if (wanted <= 0) {
      this.#overshotMs = -wanted
      return 0
    }
    const before = performance.now()
    Atomics.wait(this.#never, 0, 0, wanted)
    const waited = performance.now() - before
    this.#overshotMs = Math.min(waited - wanted, MAX_CORRECTION_MS)
    return waited
  }
}
