/** Handles Ctrl-C: the first one stops everything in order, the second one exits at once. */
import os from 'node:os'
import { coerceError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { onStopSignals, type StopSignal } from '../../../shared/platform/processes/stop-signals.ts'

/**
 * Runs `stop` on SIGINT, SIGTERM or SIGHUP, then exits with 128 + the signal's number, as shells expect.
 * After a second signal the process exits at once; its children then end on their own (`dieWithParent`).
 * @returns aborted by the first signal, with an error that names it: what fails from then on fails because of it.
 */
export function stopOnSignals(stop: () => Promise<void>, log: Logger): AbortSignal {
  const stopping = new AbortController()
  const codeOf = (signal: StopSignal) => 128 + os.constants.signals[signal]
  onStopSignals(
    (signal) => {
      const code = codeOf(signal)
      stopping.abort(new Error(`stopped by ${signal}`))
      process.exitCode = code
      stop().then(
        () => process.exit(code),
        (thrown: unknown) => {
          log.error({ err: coerceError(thrown) }, 'stopping failed')
          process.exit(code)
        },
      )
    },
    (signal) => process.exit(codeOf(signal)),
  )
  return stopping.signal
}
