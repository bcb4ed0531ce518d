/** Limits on a model's structure: what is kept of a file without its weights, and what the time to read it follows. */
import { ScissionError } from '../../platform/errors.ts'

/** Messages in messages: reading calls itself for each. No setting, because the stack of the process is the limit. */
export const MAX_DEPTH = 100

export interface StructureLimits {
  /** Bytes of the structure: names, attributes and small constants. Skipped fields count with their headers only. */
  maxBytes: number
  /** Nodes, attributes, tensors, types and other messages. */
  maxParts: number
}

export class StructureBudget {
  readonly #limits: StructureLimits | undefined
  #bytes = 0
  #parts = 0

  /** @param limits absent = none. */
  constructor(limits: StructureLimits | undefined) {
    this.#limits = limits
  }

  /** @throws ScissionError payloadTooLarge */
  countBytes(bytes: number): void {
    this.#bytes += bytes
    if (this.#limits && this.#bytes > this.#limits.maxBytes)
      throw refuse('bytes', this.#bytes, this.#limits.maxBytes, 'SCISSION_MAX_STRUCTURE_BYTES')
  }

  /** @throws ScissionError payloadTooLarge */
  countPart(): void {
    this.#parts++
    if (this.#limits && this.#parts > this.#limits.maxParts)
      throw refuse('parts', this.#parts, this.#limits.maxParts, 'SCISSION_MAX_STRUCTURE_PARTS')
  }
}

function refuse(what: 'bytes' | 'parts', found: number, limit: number, setting: string): ScissionError {
  const kind =
    what === 'bytes'
      ? 'bytes (names, attributes and small constants)'
      : 'parts (nodes, attributes, tensors and types)'
  return new ScissionError(
    'payloadTooLarge',
    `the model's structure without its weights has more than ${limit} ${kind}: ${found} were found when reading stopped; ` +
      `the limit is set by ${setting} of the benchmark service`,
    { limit, found, setting },
  )
}
