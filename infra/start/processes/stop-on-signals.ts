/** Handles Ctrl-C: the first one stops everything in order, the second one exits at once. */
import os from 'node:os'
import { coerceError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { whenOrphaned } from '../../../shared/platform/processes/orphan.ts'

/**
 * Runs `stop` on SIGINT, SIGTERM or SIGHUP, then exits with 128 + the signal's number, as shells expect.
 * After a second signal the process exits at once; its children then end on their own (`dieWithParent`).
 */
export function stopOnSignals(stop: () => Promise<void>, log: Logger): void {
  let stopping = false
  const end = (code: number) => {
    if (stopping) process.exit(code)
    stopping = true
    stop().then(
      () => process.exit(code),
      (thrown: unknown) => {
        log.error({ err: coerceError(thrown) }, 'stopping failed')
        process.exit(code)
      },
    )
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.on(signal, () => end(128 + os.constants.signals[signal]))
  }
  whenOrphaned(() => end(128 + os.constants.signals.SIGTERM))
}
