/**
 * Runs a service process: starts it, reports its URL, closes it in order on SIGTERM, SIGINT or SIGHUP, exits. A second Ctrl-C
 * ends it at once.
 * Started by infra/, the process has an IPC channel: it reports its URL there, and ends when its parent does.
 */
import { type ConfigOf, readConfig } from './service-config.ts'
import { coerceError, ScissionError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { onStopSignals } from '../processes/stop-signals.ts'

/** Reads the settings of this process; a wrong one is reported in one line and ends it with exit code 2. */
export function configOrExit<S extends Parameters<typeof readConfig>[0]>(table: S): ConfigOf<S> {
  try {
    return readConfig(table)
  } catch (thrown) {
    console.error(coerceError(thrown).message)
    return process.exit(2)
  }
}

export interface Running {
  /** At which others call it. */
  url: string
  /** The interface and port of its socket, which need not be those of the URL. */
  socket: string
  /** Takes no more work, finishes the work in progress, closes connections. */
  close: () => Promise<void>
  /** Asked after `close`: whether a thread does not end, for which `process.exit` would wait. */
  hung?: () => boolean
  /** Rejects if the service finds out later that it must not run. */
  failed?: Promise<void>
}

const CLOSE_GRACE_MS = 10_000

/**
 * Runs `start` as this process' only job. Told to end while it starts, it closes in order once it has started: whoever sees its
 * socket answer may stop it, and what it has registered by then is taken back.
 */
export function runService(log: Logger, start: () => Promise<Running>): void {
  // Begins once the listeners below are there.
  const starting = Promise.resolve().then(start)
  const stop = stopWhenTold(log, starting)
  starting.then(
    (running) => {
      log.info({ url: running.url }, `listening on ${running.socket}, called at ${running.url}`)
      running.failed?.catch((thrown: unknown) => {
        const error = coerceError(thrown)
        log.fatal({ err: error }, error.message)
        stop('it must not run', 1)
      })
      if (process.connected) process.send?.({ ready: true, url: running.url })
    },
    (thrown: unknown) => {
      const error = coerceError(thrown)
      log.fatal({ err: error }, `could not start: ${whyNot(error)}`)
      // A setting that is wrong stays so: systemd starts the service again after any other code.
      const exitCode = error instanceof ScissionError && error.code === 'badRequest' ? 2 : 1
      process.exitCode = exitCode
      if (process.connected) process.disconnect?.()
      setTimeout(() => process.exit(exitCode), 200).unref()
    },
  )
}

/** What an operator can act on. */
function whyNot(error: Error & { code?: unknown; address?: unknown; port?: unknown }): string {
  const socket = `${String(error.address)}:${String(error.port)}`
  if (error.code === 'EADDRINUSE')
    return `${socket} is in use by another process: stop that, or set SCISSION_PORT to another port`
  if (error.code === 'EADDRNOTAVAIL')
    return `${socket} is no address of this machine: SCISSION_HOST is one that it has, or 0.0.0.0 for all`
  if (error.code === 'EACCES') return `${socket} may not be listened on: SCISSION_PORT below 1024 is for root`
  return error.message
}

/** Ends the process, in which all is closed. @param hung whether a thread does not end. */
function end(log: Logger, exitCode: number, hung: boolean): void {
  if (!hung) process.exit(exitCode)
  log.warn('a thread computes what nobody waits for and cannot be stopped: ended by a signal')
  // Without a listener, SIGTERM ends a process at once, and whoever started it takes that for an end in order.
  process.removeAllListeners('SIGTERM')
  process.kill(process.pid, exitCode === 0 ? 'SIGTERM' : 'SIGKILL')
  // The first process of a container ends by none of its own signals but that of a crash.
  setTimeout(() => process.abort(), ENDED_BY_SIGNAL_MS)
}

/** A signal takes effect long before this. */
const ENDED_BY_SIGNAL_MS = 1000

type Stop = (why: string, exitCode?: number) => void

/** Closes what `starting` yields and exits: on a signal, at the end of the process that started this one, and when told to. */
function stopWhenTold(log: Logger, starting: Promise<Running>): Stop {
  let stopping = false
  // A start that fails ends the process by itself: nothing is left to close.
  starting.catch(() => {
    stopping = true
  })
  const stop: Stop = (why, exitCode = 0) => {
    if (stopping) return
    stopping = true
    log.info(`stopping: ${why}`)
    setTimeout(() => {
      log.error(`not closed after ${CLOSE_GRACE_MS} ms; killed`)
      // `process.exit` waits for threads, and one that runs a network does not stop.
      process.kill(process.pid, 'SIGKILL')
    }, CLOSE_GRACE_MS)
    starting.then(
      ({ close, hung }) =>
        close().then(
          () => end(log, exitCode, hung?.() ?? false),
          (thrown: unknown) => {
            log.error({ err: coerceError(thrown) }, 'closing failed')
            end(log, 1, hung?.() ?? false)
          },
        ),
      () => undefined,
    )
  }
  // Who starts several services and is interrupted too sends SIGTERM later: that must not cut the end short.
  onStopSignals(stop, (signal) => {
    if (signal === 'SIGINT') process.kill(process.pid, 'SIGKILL')
  })
  const orphaned = () => stop('the process that started this one is gone')
  process.once('disconnect', orphaned)
  // The parent may have gone before the listener was there.
  if (process.send && !process.connected) orphaned()
  return stop
}
