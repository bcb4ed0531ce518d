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
