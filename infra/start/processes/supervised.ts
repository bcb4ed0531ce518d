/**
 * A process that is started again when it ends by itself, until it is stopped:
 *
 *   running ──ends──▶ waits 1, 2, 4 … 30 s ──▶ started again, as before ──ready──▶ running
 *      ▲                     │                        └── not ready: as if it had ended
 *      └─────────────────────┴── stop(): at once       too many quick ends in a row: given up
 *
 * An end within a minute of the start is a quick one; whoever ran for longer begins at 1 s again.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { type Exit, howEnded, ManagedProcess, type ProcessOptions } from './process.ts'

export interface RestartLimits {
  /** Wait before the first restart, in ms; doubled with each quick end. @defaultValue 1000 */
  firstMs?: number
  /** Longest wait, in ms. @defaultValue 30000 */
  maxMs?: number
  /** A process that ran this long ran well, in ms. @defaultValue 60000 */
  wellMs?: number
  /** Restarts in a row after quick ends; one more quick end, and it is given up. @defaultValue 8, after some two minutes */
  quickEnds?: number
}

export interface Restart {
  /** Arguments of every start but the first, if they differ: ports are asked for that the first start was given. */
  args?: (() => readonly string[]) | undefined
  /** Told each time that the process is ready again. */
  onReady?: ((process: ManagedProcess) => void) | undefined
}

export interface Supervision extends Restart {
  log: Logger
  /** Told, for people, of each end, each restart and the giving up. */
  say: (text: string) => void
  gaveUp: (error: ScissionError) => void
  limits?: RestartLimits | undefined
}

const DEFAULTS: Required<RestartLimits> = { firstMs: 1000, maxMs: 30_000, wellMs: 60_000, quickEnds: 8 }
const MS_PER_S = 1000

/** ms before the restart after the nth quick end in a row. */
const waitAfter = (quickEnds: number, { firstMs, maxMs }: Required<RestartLimits>) =>
  Math.min(firstMs * 2 ** (quickEnds - 1), maxMs)

export class SupervisedProcess {
  readonly name: string
  /** Each start has the settings of the first, and so its URL. */
  readonly url: string
  readonly #options: ProcessOptions
  readonly #supervision: Supervision
  readonly #limits: Required<RestartLimits>
  readonly #stopping = new AbortController()
  readonly #watching: Promise<void>
  #process: ManagedProcess
  /** In a row. */
  #quickEnds = 0

  /** @param first is ready. @param options those of `first`: a restart has the same. */
  constructor(first: ManagedProcess, options: ProcessOptions, supervision: Supervision) {
    this.name = first.name
    this.url = first.url
    this.#options = options
    this.#supervision = supervision
    this.#limits = { ...DEFAULTS, ...supervision.limits }
    this.#process = first
    this.#watching = this.#keepRunning()
  }

  /** Of the process that runs now, or ran last. */
  get pid(): number | undefined {
    return this.#process.pid
  }

  get readyMessage(): ManagedProcess['readyMessage'] {
    return this.#process.readyMessage
  }

  /** Ends a wait for a restart at once, or the process as `ManagedProcess.stop` does. It is not started again. */
  async stop(): Promise<Exit> {
    this.#stopping.abort()
    const exit = await this.#process.stop()
    await this.#watching
    return exit
  }

  async #keepRunning(): Promise<void> {
    for (let startedAt = performance.now(); ; ) {
      const exit = await this.#process.exited
      if (this.#stopping.signal.aborted) return
      const ranWell = performance.now() - startedAt >= this.#limits.wellMs
      this.#quickEnds = ranWell ? 1 : this.#quickEnds + 1
      if (this.#quickEnds > this.#limits.quickEnds) return this.#giveUp(exit)
      if (!(await this.#waitedFor(exit))) return
      startedAt = performance.now()
      await this.#startAgain()
    }
  }

  /** @returns false if the process is to be stopped. */
  async #waitedFor(exit: Exit): Promise<boolean> {
    const waitMs = waitAfter(this.#quickEnds, this.#limits)
    this.#supervision.say(`${this.name} ${howEnded(exit)}: it is started again in ${waitMs / MS_PER_S} s`)
    // Rejects when it is aborted.
    await sleep(waitMs, undefined, { signal: this.#stopping.signal }).catch(() => undefined)
    return !this.#stopping.signal.aborted
  }

  async #startAgain(): Promise<void> {
    const { args, onReady, log, say } = this.#supervision
    this.#process = new ManagedProcess({ ...this.#options, ...(args && { args: args() }) })
    try {
      await this.#process.whenReady()
      onReady?.(this.#process)
      say(`${this.name} runs again`)
    } catch (thrown) {
      // Its end is counted where it is awaited; when it is being stopped, that is no news.
      const err = coerceError(thrown)
      if (!this.#stopping.signal.aborted)
        log.error({ err }, `${this.name} could not be started again: ${err.message}`)
      await this.#process.stop()
    }
  }

  #giveUp(exit: Exit): void {
    const { say, gaveUp } = this.#supervision
    const text =
      `${this.name} ${howEnded(exit)}, ${this.#quickEnds} times in a row soon after its start: it is given up, and not ` +
      'started any more. Everything else runs on; stop the system and start it again once the reason is mended'
    say(text)
    gaveUp(new ScissionError('internal', text, { process: this.name, lastLines: exit.lastLines }))
  }
}
