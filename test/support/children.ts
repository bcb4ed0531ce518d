/** The processes that a process has started. Linux only. */
import { readdirSync, readFileSync } from 'node:fs'

/** @param part of their command lines. @returns ids of those that are there. */
export function childrenOf(parent: number, part: string): number[] {
  const ids = readdirSync('/proc').map(Number).filter(Number.isInteger)
  return ids.filter((pid) => {
    try {
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      const [, parentId] = stat.slice(stat.lastIndexOf(')') + 2).split(' ')
      return Number(parentId) === parent && readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(part)
    } catch {
      // It has ended meanwhile.
      return false
    }
  })
}
