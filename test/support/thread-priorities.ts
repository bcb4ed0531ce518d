/** What Linux tells of this process's threads. */
import { readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'

/** The number of `nice` in `/proc/[pid]/stat`, counted behind the name in brackets, which may hold blanks (proc_pid_stat(5)). */
const NICE = 16

/** @returns the priority of each thread, as `os.getPriority` does. */
export function threadPriorities(): number[] {
  const folder = '/proc/self/task'
  return readdirSync(folder).map((id) => {
    const stat = readFileSync(path.join(folder, id, 'stat'), 'utf8')
    return Number(stat.slice(stat.lastIndexOf(')') + 2).split(' ')[NICE])
  })
}
