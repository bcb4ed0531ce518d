/** Whether a process is there; without a pid it was never started. */
export function isAlive(pid: number | undefined): boolean {
  try {
    if (pid !== undefined) process.kill(pid, 0)
    return pid !== undefined
  } catch {
    return false
  }
}
