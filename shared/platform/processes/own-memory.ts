/** The memory that a process holds for itself: resident minus shared with files. */
import fs from 'node:fs'
import { coerceError } from '../errors.ts'

/** Linux reports pages of 4 KiB on the platforms that onnxruntime-node is built for. */
const PAGE_BYTES = 4096

/** False on systems without /proc: there nothing is known of the memory of other processes. */
export const isMemoryKnown = (pid: number): boolean => fs.existsSync(`/proc/${pid}/statm`)

/** Resident minus shared pages, see proc(5), /proc/[pid]/statm. @returns 0 if the process has just ended, or is not known. */
export function ownBytesOf(pid: number): number {
  try {
    const [, resident = '0', shared = '0'] = fs.readFileSync(`/proc/${pid}/statm`, 'utf8').split(' ')
    return (Number(resident) - Number(shared)) * PAGE_BYTES
  } catch (error) {
    const { code } = coerceError(error) as NodeJS.ErrnoException
    if (code === 'ENOENT' || code === 'ESRCH') return 0
    throw error
  }
}
