/** npm runs scripts through a shell that keeps SIGTERM to itself: when npm is killed, nobody tells the program. */

const POLL_MS = 500

/** Calls `act` once when the process that npm started this one through is gone. Does nothing outside npm scripts. */
export function whenOrphaned(act: () => void): void {
  if (process.env.npm_lifecycle_event === undefined) return
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid === parent) return
    clearInterval(watch)
    act()
  }, POLL_MS)
  watch.unref()
}
