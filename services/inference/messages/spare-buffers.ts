/**
 * Input buffers that an executor thread is done with, kept for the next body of the same size. To free a buffer of a
 * megabyte and to get another one, in pages that the system zeroes first, costs half a millisecond; freeing it on the
 * thread that computes costs a run of a small model three percent.
 */
/** All together. Models of one service take few sizes of input, so a few of each are enough. */
const LIMIT_BYTES = 64 * 1024 * 1024
/** Below this the allocator is as fast. */
const LEAST_BYTES = 64 * 1024

export class SpareBuffers {
  readonly #limitBytes: number
  /** By size; a size that was used last stands last. */
  readonly #bySize = new Map<number, ArrayBuffer[]>()
  #bytes = 0

  constructor(limitBytes = LIMIT_BYTES) {
    this.#limitBytes = limitBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @returns a buffer of just this size, holding whatever it held; undefined when there is none. */
  take(bytes: number): ArrayBuffer | undefined {
    const buffer = this.#bySize.get(bytes)?.pop()
    if (buffer) this.#bytes -= bytes
    return buffer
  }

  /** @param buffers that nobody reads any more. */
  give(buffers: readonly ArrayBuffer[]): void {
    for (const buffer of buffers) {
      const size = buffer.byteLength
      if (size < LEAST_BYTES || size > this.#limitBytes) continue
      const same = this.#bySize.get(size) ?? []
      same.push(buffer)
      this.#bySize.delete(size)
      this.#bySize.set(size, same)
      this.#bytes += size
    }
    this.#trim()
  }

  /** The sizes not used for longest go first. */
  #trim(): void {
    for (const [size, buffers] of this.#bySize) {
      while (this.#bytes > this.#limitBytes && buffers.length > 0) {
        buffers.pop()
        this.#bytes -= size
      }
      if (buffers.length === 0) this.#bySize.delete(size)
      if (this.#bytes <= this.#limitBytes) return
    }
  }
}

/** This process'. */
export const spareBuffers = new SpareBuffers()
