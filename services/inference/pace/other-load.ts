/** How busy the machine's other processes are. */
import fs from 'node:fs'

/** Linux counts in hundredths of a second on all platforms of Node (USER_HZ). */
const TICKS_PER_SECOND = 100

/** @returns a function for the number of cores that other processes have kept busy since; undefined outside Linux. */
export function watchOthers(): () => number | undefined {
  const ownSince = process.cpuUsage()
  const busyBefore = busySeconds()
  const startedAt = performance.now()
  return () => {
    const busy = busySeconds()
    if (busy === undefined || busyBefore === undefined) return undefined
    const { user, system } = process.cpuUsage(ownSince)
    const seconds = (performance.now() - startedAt) / 1000
    return Math.max(0, (busy - busyBefore - (user + system) / 1e6) / Math.max(seconds, 0.01))
  }
}

/** Seconds of user, nice, system, interrupts and steal of all cores (proc(5), /proc/stat); without idle and disk wait. */
function busySeconds(): number | undefined {
  try {
    const [first = ''] = fs.readFileSync('/proc/stat', 'utf8').split('\n', 1)
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = first
      .split(/\s+/)
      .slice(1)
      .map(Number)
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND
  } catch {
    return undefined // Not Linux.
  }
}
