/** Stores the result of a job through outages of Redis: a measurement takes minutes, a restart of Redis seconds. */
import { setTimeout as sleep } from 'node:timers/promises'
import { coerceError } from '../errors.ts'
import type { Logger } from '../log.ts'

const RETRY_MS = 250
/** The job fails if Redis is away for longer. */
const PATIENCE_MS = 120_000

/**
 * Repeats `store` until it succeeds. @param what is stored, for the log. @param signal ends the repeating.
 * @throws the last error of `store`.
 */
export async function storeResult(
  what: string,
  store: () => Promise<void>,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  const giveUpAt = performance.now() + PATIENCE_MS
  for (;;) {
    try {
      return await store()
    } catch (thrown) {
      const error = coerceError(thrown)
      if (performance.now() > giveUpAt || signal.aborted) throw error
      log.debug({ err: error }, `${what} is stored once Redis is back`)
      await sleep(RETRY_MS)
    }
  }
}
