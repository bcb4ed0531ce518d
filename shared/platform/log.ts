/** One logger: JSON lines to standard error, so that standard output stays free for what a command prints. */
import { pino, destination, type Logger } from 'pino'

export type { Logger }

/**
 * Errors of Redis carry the command that failed with all that it was given: the password, where it greets, else whole
 * documents.
 */
const NOT_LOGGED = ['err.command.args', 'err.*.command.args', 'err.*[*].command.args']

export interface RequestLogs {
  audit: Logger
  /** Absent = requests are not logged. */
  access: Logger | undefined
}

/** The logs of requests: whatever level the service's own log has. @param auditFile '' = to standard error too. */
export function createRequestLogs(
  name: string,
  { accessLog, auditFile }: { accessLog: boolean; auditFile: string },
): RequestLogs {
  const to = (file: string) =>
    destination(file === '' ? { fd: 2, sync: false } : { dest: file, sync: false, mode: 0o600 })
  const log = (kind: string, file: string) =>
    pino(
      { name, level: 'info', base: { name, log: kind }, timestamp: pino.stdTimeFunctions.isoTime },
      to(file),
    )
  return { audit: log('audit', auditFile), access: accessLog ? log('access', '') : undefined }
}

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
