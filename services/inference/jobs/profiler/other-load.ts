/** How busy the machine's other processes were between two moments (Linux: /proc/stat, see proc(5)). */
import fs from 'node:fs'

/** Linux counts in hundredths of a second everywhere that Node runs (USER_HZ). */
const TICKS_PER_SECOND = 100

/** @returns a function that says how many cores other processes kept busy since, or undefined where nobody counts. */
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

/** User, nice, system, interrupts and steal of all cores; not idle and waiting for disks. */
function busySeconds(): number | undefined {
  try {
    const [first = ''] = fs.readFileSync('/proc/stat', 'utf8').split('\n', 1)
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = first
      .split(/\s+/)
      .slice(1)
      .map(Number)
    return (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND
  } catch {
    return undefined // Not Linux: nobody counts.
  }
}
