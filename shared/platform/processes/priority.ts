/** The priority of processes that others should not have to wait for. */
import os from 'node:os'

/**
 * Of runs that may take long: they get a quarter of a core that others want too, and all of one that nobody else wants. Lower, and
 * requests that need such a run would hardly be answered on a busy machine.
 */
export const BELOW_SERVING = 5
/** Of measuring, which nobody waits for: next to nothing of such a core. */
export const BELOW_ALL = os.constants.priority.PRIORITY_LOW

/**
 * Lowers the priority of a process; never raises it. Set before the process starts its threads, which inherit it.
 * @param pid of a process that has just been started. One that has ended already is left alone: its end is noticed elsewhere.
 */
export function giveWay(priority: number, pid = process.pid): void {
  try {
    // Whoever starts everything with less has to be an administrator to have more again.
    if (os.getPriority(pid) < priority) os.setPriority(pid, priority)
  } catch (error) {
    if ((error as { info?: { code?: string } }).info?.code !== 'ESRCH') throw error
  }
}

/**
 * Lowers the priority of the thread that calls it. Only Linux has one for each thread; elsewhere this does nothing.
 * @see https://man7.org/linux/man-pages/man2/setpriority.2.html (C library/kernel differences)
 */
export function giveWayInThread(priority: number): void {
  if (process.platform === 'linux') giveWay(priority, 0)
}
