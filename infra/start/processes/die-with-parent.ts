/**
 * The child's part of the rule that a system ends with the process that started it, even after SIGKILL: the kernel closes
 * the IPC channel of a dead parent, which Node reports to the child as `disconnect`.
 */

/**
 * Ends this process at once if its parent has ended. For entries that have nothing to finish or to save; services close in
 * order instead, see `runService`. Does nothing in a process that was started without an IPC channel.
 */
export function dieWithParent(): void {
  if (process.send === undefined) return
  // The parent ended before this listener could be added.
  if (!process.connected) process.exit(0)
  process.once('disconnect', () => process.exit(0))
}

/** Tells the parent that this process is ready; `startProcess` waits for it. */
export function reportReady(url: string): void {
  process.send?.({ ready: true, url })
}
