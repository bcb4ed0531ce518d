/** The largest tensor at a boundary of a registered model: links are probed with payloads of up to this size. */
import { coerceError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { Change } from '../../../shared/platform/redis/changes.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { DEFAULT_PROBE_BYTES } from './measure-link.ts'

export class LargestTensors {
  readonly #state: State
  readonly #log: Logger
  #bytes = 0

  constructor(state: State, log: Logger) {
    this.#state = state
    this.#log = log
  }

  /** Size of the largest tensor so far; a default until a model has been seen. */
  get bytes(): number {
    return this.#bytes || DEFAULT_PROBE_BYTES
  }

  onChange(change: Change): void {
    if (change.kind === 'structures') void this.#read(async () => [change.id])
  }

  onResync(): void {
    void this.#read(() => this.#state.structures.ids())
  }

  async #read(ids: () => Promise<readonly string[]>): Promise<void> {
    try {
      for await (const [, structure] of this.#state.structures.some(await ids(), (error) =>
        this.#failed(error),
      ))
        for (const boundary of structure.boundaries)
          if (boundary.allowed) this.#bytes = Math.max(this.#bytes, boundary.bytes)
    } catch (error) {
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    this.#log.debug({ err: coerceError(error) }, 'could not read how large the tensors of the models are')
  }
}
