/** A group of processes that are stopped together, in reverse order of their start. */
import { appendFileSync } from 'node:fs'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { ManagedProcess, type ProcessOptions } from './process.ts'
import { type Restart, type RestartLimits, SupervisedProcess } from './supervised.ts'

export interface Stoppable {
  name: string
  stop: () => Promise<unknown>
}

type Options = Omit<ProcessOptions, 'log' | 'logFile'>

export interface GroupOptions {
  /** How `startSupervised` and `supervise` restart. */
  limits?: RestartLimits | undefined
}

export class ProcessGroup {
  readonly #log: Logger
  readonly #logFile: string | undefined
  readonly #limits: RestartLimits | undefined
  readonly #members: Stoppable[] = []
  #stopped: Promise<void> | undefined
  #giveUp: (error: ScissionError) => void = () => undefined
  /** Resolves once a supervised process is given up, with the reason. */
  readonly gaveUp = new Promise<ScissionError>((resolve) => {
    this.#giveUp = resolve
  })

  /** @param logFile receives the output of all processes, each line with the name of its process. */
  constructor(log: Logger, logFile?: string, { limits }: GroupOptions = {}) {
    this.#log = log
    this.#logFile = logFile
    this.#limits = limits
  }

  /**
   * Starts a process as a member of the group and waits until it is ready.
   * @throws ScissionError internal if it does not become ready; cancelled if the group is being stopped.
   */
  async start(options: Options): Promise<ManagedProcess> {
    const { started, ready } = this.#begin(options)
    // Added before it is ready, so that a stop in the meantime reaches it.
    this.#members.push(started)
    await ready
    return started
  }

  /** The same for a process that is started again, as before, whenever it ends by itself once it was ready. */
  async startSupervised(
    options: Options,
    restart: (first: ManagedProcess) => Restart = () => ({}),
  ): Promise<SupervisedProcess> {
    const { started, ready } = this.#begin(options)
    let member: Pick<SupervisedProcess, 'stop'> = started
    this.#members.push({ name: options.name, stop: () => member.stop() })
    await ready
    this.#refuseWhenStopping(options.name)
    const supervised = this.supervise(started, { ...options, logFile: this.#logFile }, restart(started))
    member = supervised
    return supervised
  }

  /** Restarts a process that was started elsewhere and is stopped by who started it. @param options those it was started with. */
  supervise(
    first: ManagedProcess,
    options: Omit<ProcessOptions, 'log'>,
    restart: Restart = {},
  ): SupervisedProcess {
    const log = this.#log
    return new SupervisedProcess(
      first,
      { ...options, log },
      {
        ...restart,
        log,
        limits: this.#limits,
        say: (text) => this.#say(text),
        gaveUp: (error) => this.#giveUp(error),
      },
    )
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

  #begin(options: Options): { started: ManagedProcess; ready: Promise<void> } {
    this.#refuseWhenStopping(options.name)
    const started = new ManagedProcess({ ...options, log: this.#log, logFile: this.#logFile })
    return { started, ready: started.whenReady() }
  }

  async #stopEach(): Promise<void> {
    for (const member of this.#members.splice(0).reverse()) {
      await member.stop().catch((thrown: unknown) => {
        this.#log.error({ err: coerceError(thrown) }, `${member.name} could not be stopped`)
      })
    }
  }

  /** In the log, and among what the processes print. */
  #say(text: string): void {
    this.#log.warn(text)
    if (this.#logFile === undefined) return
    try {
      appendFileSync(this.#logFile, `scission | ${text}\n`)
    } catch (thrown) {
      this.#log.warn({ err: coerceError(thrown), file: this.#logFile }, 'it is not in the log file')
    }
  }

  #refuseWhenStopping(name: string): void {
    if (this.#stopped)
      throw new ScissionError('cancelled', `${name} is not started: everything is being stopped`)
  }
}
