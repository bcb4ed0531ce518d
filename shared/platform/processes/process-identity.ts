/** Tells a process from every other one, for files that say whose they are: a later process may get the id of one that ended. */
import { execFileSync } from 'node:child_process'
import { readFileSync, readlinkSync } from 'node:fs'
import os from 'node:os'
import { z } from 'zod'
import { coerceError } from '../errors.ts'

export const ProcessIdentity = z.object({
  pid: z.number().int().positive(),
  /** With the pid, tells this process from every other one; '' where the operating system does not say. */
  processStart: z.string(),
})
export type ProcessIdentity = z.infer<typeof ProcessIdentity>

/**
 * Tells the operating system in which this process runs, until its next boot, from all others: copied systems have one host
 * name, containers on one machine have one boot.
 */
export const HOST = `${os.hostname()} ${bootId()}`.trim()

/** Where process ids mean the same as here: containers may have a host's name, and each counts its processes itself. */
export const PROCESS_SPACE = `${HOST} ${processNamespace()}`.trim()

export const thisProcess = (): ProcessIdentity => ({ pid: process.pid, processStart: startOf(process.pid) })

/** Whether a process of this PROCESS_SPACE still runs. */
export function isRunning({ pid, processStart }: ProcessIdentity): boolean {
  try {
    process.kill(pid, 0)
  } catch (thrown) {
    // EPERM: it is there, and another user's.
    if ((coerceError(thrown) as NodeJS.ErrnoException).code !== 'EPERM') return false
  }
  const now = startOf(pid)
  return now === processStart || now === '' || processStart === ''
}

/** When a process started, as a text that only it has together with its id; '' if it is gone or this is not told. */
function startOf(pid: number): string {
  try {
    if (process.platform === 'linux') {
      // Field 22, in ticks since the boot; the name in field 2 may hold spaces and brackets.
      const stat = readFileSync(`/proc/${pid}/stat`, 'utf8')
      const ticks = stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? ''
      return `${bootId()} ${ticks}`
    }
    if (process.platform === 'win32') return ''
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], { encoding: 'utf8' }).trim()
  } catch {
    // Gone meanwhile, or no such tool: the process id alone has to do.
    return ''
  }
}

function bootId(): string {
  try {
    return readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    // Not on this operating system.
    return ''
  }
}

function processNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid')
  } catch {
    // Not on this operating system.
    return ''
  }
}
