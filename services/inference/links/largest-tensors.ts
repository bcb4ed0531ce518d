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
    if (change.kind === 'structures') this.#update([change.id])
  }

  onResync(): void {
    this.#state.structures.ids().then(
      (ids) => this.#update(ids),
      (error: unknown) => this.#failed(error),
    )
  }

  #update(ids: readonly string[]): void {
    this.#read(ids).catch((error: unknown) => this.#failed(error))
  }

  async #read(ids: readonly string[]): Promise<void> {
    for await (const [, structure] of this.#state.structures.some(ids, (error) => this.#failed(error))) {
      for (const boundary of structure.boundaries)
        if (boundary.allowed) this.#bytes = Math.max(this.#bytes, boundary.bytes)
    }
  }

  #failed(error: unknown): void {
    this.#log.debug({ err: coerceError(error) }, 'could not read how large the tensors of the models are')
  }
}
