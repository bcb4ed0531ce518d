/** One logger: JSON lines to standard error, so that standard output stays free for what a command prints. */
import { pino, destination, type Logger } from 'pino'

export type { Logger }

/** @param name of the service or tool, part of every line. */
export function createLog(name: string, level: string): Logger {
  return pino(
    { name, level, base: { name }, timestamp: pino.stdTimeFunctions.isoTime },
    destination({ fd: 2, sync: false }),
  )
}
