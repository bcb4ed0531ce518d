/**
 * CPU time of a run. On a busy machine it says what the run cost, where the wall clock says what it suffered.
 *
 * Single-threaded sessions need the CPU time of this thread alone: newer Nodes have that; on Linux the
 * scheduler's account does (/proc/thread-self/schedstat, first number, ns: see proc(5) and sched-stats.rst).
 * Linux brings both up to date only at a timer tick, or when something asks for the process' times: asking for those
 * first makes them exact (measured: off by 0 to 4 ms without, by microseconds with; two of three runs of 0.5 ms were 0
 * with Node 22 and 24).
 */
import fs from 'node:fs'

/** Milliseconds of CPU time used so far; differences between two calls count. */
type CpuClock = () => number

const MICROSECONDS = 1000
const NANOSECONDS = 1_000_000

/** All threads of this process: right for sessions with several threads when nothing else runs beside them. */
const processClock: CpuClock = () => {
  const { user, system } = process.cpuUsage()
  return (user + system) / MICROSECONDS
}

/** Starts timing; the function it returns says how much CPU time was used since, in ms. */
export type CpuTimer = () => () => number

/**
 * A timer that leaves out what reading the clock costs, which is as much as a very small model.
 * @param threads intra-op threads of the sessions to be timed. Call it in the thread that runs them.
 */
export function cpuTimer(threads: number): CpuTimer {
  const clock = threads > 1 ? processClock : (nodeThreadClock() ?? linuxThreadClock() ?? processClock)
  const costs = Array.from({ length: 31 }, () => -(clock() - clock())).sort((a, b) => a - b)
  const own = costs[Math.floor(costs.length / 2)] ?? 0
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

/** The file stays open for the life of the thread: opening it costs more than reading it. */
function linuxThreadClock(): CpuClock | undefined {
  let file: number
  try {
    file = fs.openSync('/proc/thread-self/schedstat', 'r')
  } catch {
    return undefined // Not Linux, or a kernel without scheduler statistics: the caller has another clock.
  }
  const text = Buffer.alloc(80)
  return () => {
    process.cpuUsage()
    const length = fs.readSync(file, text, 0, text.length, 0)
    return Number.parseInt(text.toString('latin1', 0, length), 10) / NANOSECONDS
  }
}
