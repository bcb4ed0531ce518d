/** All that was started together, to be stopped together: last started, first stopped. */
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { ManagedProcess, type ProcessOptions } from './process.ts'

export interface Stoppable {
  name: string
  stop: () => Promise<unknown>
}

export class ProcessGroup {
  readonly #log: Logger
  readonly #logFile: string | undefined
  readonly #members: Stoppable[] = []
  #stopped: Promise<void> | undefined

  /** @param logFile gets what all processes print, each line under its process' name. */
  constructor(log: Logger, logFile?: string) {
    this.#log = log
    this.#logFile = logFile
  }

  /**
   * Starts a process, waits until it is ready, and will stop it with the others.
   * @throws ScissionError internal when it does not become ready; cancelled when the group is being stopped.
   */
  async start(options: Omit<ProcessOptions, 'log' | 'logFile'>): Promise<ManagedProcess> {
    this.#refuseWhenStopping(options.name)
    const member = new ManagedProcess({ ...options, log: this.#log, logFile: this.#logFile })
    // Before it is ready, so that a stop in between reaches it.
    this.#members.push(member)
    await member.whenReady()
    return member
  }

  /** Something else that must be stopped in its turn: a server in this process, Redis. */
  add(member: Stoppable): void {
    this.#refuseWhenStopping(member.name)
    this.#members.push(member)
  }

  /** Stops everything, the last started first. What fails to stop is logged and does not keep the rest. */
  stopAll(): Promise<void> {
    this.#stopped ??= this.#stopEach()
    return this.#stopped
  }

  async #stopEach(): Promise<void> {
    for (const member of this.#members.splice(0).reverse()) {
      await member.stop().catch((thrown: unknown) => {
        this.#log.error({ err: coerceError(thrown) }, `${member.name} could not be stopped`)
      })
    }
  }

  #refuseWhenStopping(name: string): void {
    if (this.#stopped)
      throw new ScissionError('cancelled', `${name} is not started: everything is being stopped`)
  }
}
