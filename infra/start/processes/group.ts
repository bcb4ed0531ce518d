/** A group of processes that are stopped together, in reverse order of their start. */
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

  /** @param logFile receives the output of all processes, each line with the name of its process. */
  constructor(log: Logger, logFile?: string) {
    this.#log = log
    this.#logFile = logFile
  }

  /**
   * Starts a process as a member of the group and waits until it is ready.
   * @throws ScissionError internal if it does not become ready; cancelled if the group is being stopped.
   */
  async start(options: Omit<ProcessOptions, 'log' | 'logFile'>): Promise<ManagedProcess> {
    this.#refuseWhenStopping(options.name)
    const member = new ManagedProcess({ ...options, log: this.#log, logFile: this.#logFile })
    // Added before it is ready, so that a stop in the meantime reaches it.
    this.#members.push(member)
    await member.whenReady()
    return member
  }

  /** Adds a member that is not a child process, for instance a server in this process. */
  add(member: Stoppable): void {
    this.#refuseWhenStopping(member.name)
    this.#members.push(member)
  }

  /** Stops all members, the last one first. A member that fails to stop is logged, and the others are still stopped. */
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
