/**
 * How busy processes that are not ours kept the machine: what is timed meanwhile says nothing about us, and is timed
 * again. Ours are this process and all that descend from it. Linux only; elsewhere everything counts as quiet.
 */
import { readdirSync, readFileSync } from 'node:fs'

const TICKS_PER_SECOND = 100

/** @returns a function that says how many cores foreign processes, and the host below us, kept busy since. */
export function watchForeign(): () => number {
  const before = cpuSeconds()
  const startedAt = performance.now()
  return () => {
    const now = cpuSeconds()
    if (before === undefined || now === undefined) return 0
    const seconds = Math.max(0.02, (performance.now() - startedAt) / 1000)
    return Math.max(0, now.busy - before.busy - (now.ours - before.ours)) / seconds
  }
}

/** CPU time so far, of the whole machine and of our processes. */
function cpuSeconds(): { busy: number; ours: number } | undefined {
  try {
    const [total = ''] = readFileSync('/proc/stat', 'utf8').split('\n', 1)
    const [user = 0, nice = 0, system = 0, , , irq = 0, softirq = 0, steal = 0] = total
      .split(/\s+/)
      .slice(1)
      .map(Number)
    const busy = (user + nice + system + irq + softirq + steal) / TICKS_PER_SECOND
    return { busy, ours: oursTicks() / TICKS_PER_SECOND }
  } catch {
    return undefined // Not Linux.
  }
}

/** proc(5), /proc/[pid]/stat: after the name in brackets, field 4 is the parent, 14 to 17 the times used. */
function oursTicks(): number {
  const processes = new Map<number, { parent: number; ticks: number }>()
  for (const entry of readdirSync('/proc')) {
    if (!/^\d+$/.test(entry)) continue
    const fields = statOf(entry)
    const ticks = [11, 12, 13, 14].reduce((sum, at) => sum + Number(fields[at] ?? 0), 0)
    processes.set(Number(entry), { parent: Number(fields[1] ?? 0), ticks })
  }
  let sum = 0
  for (const [pid, { ticks }] of processes) if (isOurs(pid, processes)) sum += ticks
  return sum
}

function isOurs(pid: number, processes: ReadonlyMap<number, { parent: number }>): boolean {
  for (let at: number | undefined = pid; at !== undefined && at > 1; at = processes.get(at)?.parent)
    if (at === process.pid) return true
  return false
}

function statOf(pid: string): string[] {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8')
    return text.slice(text.lastIndexOf(')') + 2).split(' ')
  } catch {
    return [] // It has just ended.
  }
}
