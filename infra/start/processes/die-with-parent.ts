/**
 * The child's part of the rule that a system ends with the process that started it, even after SIGKILL: the kernel closes
 * the IPC channel of a dead parent, which Node reports to the child as `disconnect`.
 */

/**
 * Calls `end` if the parent has ended. For entries that have nothing to finish or to save; services close in order
 * instead, see `runService`. Does nothing in a process that was started without an IPC channel.
 * @param end @defaultValue ends this process at once.
 */
export function dieWithParent(end: () => void = () => process.exit(0)): void {
  if (process.send === undefined) return
  process.once('disconnect', end)
  // The parent ended before this listener could be added.
  if (!process.connected) end()
}

/** Tells the parent that this process is ready; `startProcess` waits for it. @param more for `ManagedProcess.readyMessage`. */
export function reportReady(url: string, more: Record<string, unknown> = {}): void {
  process.send?.({ ready: true, url, ...more })
}
