/** The memory that this process may use. */
import os from 'node:os'
import { readCgroupLimits } from './cgroup.ts'

/** Bytes: those of the machine, or the limit of the process's control group if that is less. */
export function memoryBytes(): number {
  return Math.min(os.totalmem(), readCgroupLimits().memoryBytes ?? Number.POSITIVE_INFINITY)
}
