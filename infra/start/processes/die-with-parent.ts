/**
 * The child's half of a promise: whoever started a system stops all of it, even when killed with SIGKILL.
 * The kernel closes the IPC channel of a dead parent, which Node tells the child as `disconnect`.
 */

/**
 * Ends this process at once when the one that started it is gone. For entries with nothing to finish or to
 * save; services close in order instead, see `runService`. Started by hand, without an IPC channel, it does
 * nothing.
 */
export function dieWithParent(): void {
  if (process.send === undefined) return
  // Gone already, before there was anybody to hear the event.
  if (!process.connected) process.exit(0)
  process.once('disconnect', () => process.exit(0))
}

/** Tells the parent that this process can be used; the counterpart is `startProcess`. */
export function reportReady(url: string): void {
  process.send?.({ ready: true, url })
}
