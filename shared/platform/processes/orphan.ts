/** npm runs scripts through a shell that does not pass SIGTERM on: when npm is killed, the program gets no signal. */

const POLL_MS = 500

/** Calls `act` once when npm's shell, the parent of this process, is gone. Does nothing outside npm scripts. */
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
