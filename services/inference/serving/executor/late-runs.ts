/**
 * Runs of one executor thread that were given up and go on. ONNX Runtime cannot be interrupted, and values can make a run
 * endless: a Loop whose trip count is an input. All that waits behind it would be late, so after a time its worker is left to it,
 * and another takes its place; when such a run ends after all, its worker ends too.
 */
import type { Worker } from 'node:worker_threads'
import type { LateRun } from './executor-errors.ts'

/** Workers of a thread that may be left to runs without end: each takes the memory of its sessions once more. */
const MAX_LEFT_ALONE = 2
/** A run may go on for this multiple of the longest one of its session: models that take long are no endless ones. */
const LONG_RUN_FACTOR = 4

export interface LateRunSettings {
  /** ms that a run may go on after it was given up. */
  overrunMs: number
  /** Ends of the workers, of all threads, that were left to such a run. */
  leftAlone: Set<Promise<unknown>>
}

export class LateRuns {
  readonly #settings: LateRunSettings
  /** Key of a session → ms of its longest run. */
  readonly #longestMs = new Map<string, number>()
  #leftAlone = 0
  #now: LateRun | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(settings: LateRunSettings) {
    this.#settings = settings
  }

  /** The one that goes on now. */
  get now(): LateRun | undefined {
    return this.#now
  }

  /** A run of a session took as long. */
  took(key: string, ms: number): void {
    this.#longestMs.set(key, Math.max(this.#longestMs.get(key) ?? 0, ms))
  }

  /** A session is unloaded. */
  forget(key: string): void {
    this.#longestMs.delete(key)
  }

  /**
   * The run under way was given up.
   * @param replace called if it has gone on for as long as it may. @param refuse the same if another worker would be one too many.
   */
  begin(key: string, replace: (overrunMs: number) => void, refuse: (late: LateRun) => void): void {
    const overrunMs = Math.max(this.#settings.overrunMs, LONG_RUN_FACTOR * (this.#longestMs.get(key) ?? 0))
    const isReplaced = this.#leftAlone < MAX_LEFT_ALONE
    const late = {
      since: performance.now(),
      replacedAfterMs: isReplaced ? overrunMs : undefined,
      isStuck: false,
    }
    this.#now = late
    clearTimeout(this.#timer)
    this.#timer = setTimeout(() => {
      if (isReplaced) return replace(overrunMs)
      late.isStuck = true
      refuse(late)
    }, overrunMs)
    this.#timer.unref()
  }

  /** It has ended, or its worker is replaced. */
  end(): void {
    clearTimeout(this.#timer)
    this.#now = undefined
  }

  /** The worker ends as soon as its run does, which may be never. */
  leave(worker: Worker): void {
    const { leftAlone } = this.#settings
    this.#leftAlone += 1
    const end = worker.terminate().finally(() => {
      this.#leftAlone -= 1
      leftAlone.delete(end)
    })
    leftAlone.add(end)
  }
}
