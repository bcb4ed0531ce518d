/** One logger: JSON lines to standard error, so that standard output stays free for what a command prints. */
import { pino, destination, type Logger } from 'pino'

export type { Logger }

/**
 * Errors of Redis carry the command that failed with all that it was given: the password, where it greets, else whole
 * documents.
 */
const NOT_LOGGED = ['err.command.args', 'err.*.command.args', 'err.*[*].command.args']

/** @param name of the service or tool, part of every line. */
export function createLog(name: string, level: string): Logger {
  return pino(
    {
      name,
      level,
      base: { name },
      timestamp: pino.stdTimeFunctions.isoTime,
      redact: { paths: NOT_LOGGED, remove: true },
    },
    destination({ fd: 2, sync: false }),
  )
}
