/**
 * The native fallback: the rest of a model, from where this resource's own stage ends, held ready beside it for the
 * time when nobody takes the next hop. It is fetched behind the scenes once the deployment runs, if it fits, and again
 * at the next failure if that went wrong.
 */
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { type HeldStage, holdStage, type StageParts } from '../serving/models/stages.ts'
import type { RangeKey } from '../ranges/range-store.ts'

export interface RestParts {
  stageParts: StageParts
  weightBytes: (range: RangeKey) => Promise<number>
  /** Weights that the fallbacks of all deployments on this resource may have together. */
  limitBytes: number
}

/** Counts what the fallbacks take, so that together they stay under the limit. */
export class RestRoom {
  #taken = 0

  /** @returns gives it back; undefined when it does not fit. */
  take(bytes: number, limitBytes: number): (() => void) | undefined {
    if (this.#taken + bytes > limitBytes) return undefined
    this.#taken += bytes
    let held = true
    return () => {
      if (held) this.#taken -= bytes
      held = false
    }
  }
}

export class Rest {
  readonly key: RangeKey
  readonly #parts: RestParts
  readonly #room: RestRoom
  #loading: Promise<HeldStage> | undefined
  #released = false

  constructor(parts: RestParts, room: RestRoom, key: RangeKey) {
    this.#parts = parts
    this.#room = room
    this.key = key
  }

  /** Loads it, or shares what is loaded. @throws ScissionError why it cannot be had here. */
  stage(): Promise<HeldStage> {
    this.#loading ??= this.#load().catch((error: unknown) => {
      this.#loading = undefined
      throw error
    })
    return this.#loading
  }

  /** As `stage`, ahead of need: a failure is no more than worth a line. */
  prepare(): void {
    this.stage().catch((error: unknown) => {
      const { from, to } = this.key
      this.#parts.stageParts.log.info(
        { err: coerceError(error) },
        `layers ${from}-${to} are not held ready as a fallback`,
      )
    })
  }

  release(): void {
    this.#released = true
    this.#loading?.then(
      (stage) => stage.release(),
      () => undefined, // It failed, and holds nothing.
    )
  }

  async #load(): Promise<HeldStage> {
    const { stageParts, weightBytes, limitBytes } = this.#parts
    const bytes = await weightBytes(this.key)
    const giveBack = this.#room.take(bytes, limitBytes)
    if (!giveBack) {
      throw new ScissionError(
        'notReady',
        `layers ${this.key.from}-${this.key.to} do not fit here: ${bytes} bytes of weights, ` +
          `SCISSION_STAGE_BYTES=${limitBytes} is for all fallbacks`,
      )
    }
    try {
      const stage = await holdStage(stageParts, this.key)
      stage.onReleased(giveBack)
      if (this.#released) stage.release()
      return stage
    } catch (error) {
      giveBack()
      throw error
    }
  }
}
