/** Whether a process is there. @throws Error without a pid: "it is gone" would then hold of any process. */
export function isAlive(pid: number | undefined): boolean {
  if (pid === undefined) throw new Error('the process was not started')
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
