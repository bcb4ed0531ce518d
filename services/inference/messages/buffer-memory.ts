/**
 * Memory of request and response bodies: freed at once, reused, and limited.
 *
 * Freeing at once: left to the garbage collector, tensors pile up (one or two megabytes per request) until V8 marks its
 * whole heap on four threads. For ResNet50's stages that happened at every eighth request and took as much CPU time as the
 * rest of a request. Memory that is freed at once is also at hand for the next tensor of its size, with its pages mapped.
 *
 * Reuse: freeing a buffer of 1 MB and allocating another one, whose pages the system zeroes first, costs 0.5 ms. Freeing it
 * on the executor thread instead makes a run of a small model 3 % slower.
 */
import workerThreads, { MessageChannel } from 'node:worker_threads'
import { ScissionError } from '../../../shared/platform/errors.ts'

/** A buffer that is transferred to a closed port is freed. */
const { port1: closedPort } = new MessageChannel()
closedPort.close()

/** Frees buffers. @param buffers must have no other readers; views of them become empty. */
export function freeBuffers(buffers: Iterable<ArrayBufferLike>): void {
  const own = [...new Set(buffers)].filter(isMovable)
  if (own.length > 0) closedPort.postMessage(null, own)
}

/** Frees the buffers that the views fill completely. Other buffers may have further readers and stay. */
export function freeViews(views: readonly Uint8Array[]): void {
  freeBuffers(views.filter((view) => view.byteLength === view.buffer.byteLength).map(({ buffer }) => buffer))
}

/** The distinct buffers of some views that can move to another thread. */
export function movableBuffers(views: readonly Uint8Array[]): ArrayBuffer[] {
  const buffers = views.map(({ buffer }) => buffer)
  return [...new Set(buffers)].filter(isMovable)
}

/** False for shared memory, for empty buffers, and for Node's pool, which many small Buffers share. */
export function isMovable(buffer: ArrayBufferLike): buffer is ArrayBuffer {
  return buffer instanceof ArrayBuffer && buffer.byteLength > 0 && !isPool(buffer)
}

/**
 * Newer versions of Node tell whether a buffer is part of the pool. Node 20 does not, but there the size tells: its pool has
 * 8 KiB. The pool of Node 24 has 64 KiB, as large as one chunk of a body.
 */
const isMarked: unknown = Reflect.get(workerThreads, 'isMarkedAsUntransferable')
const isPool: (buffer: ArrayBuffer) => boolean =
  typeof isMarked === 'function'
    ? (buffer) => isMarked(buffer) === true
    : (buffer) => buffer.byteLength === Buffer.poolSize

/** The models of one service take few sizes of input, so a few buffers of each size are enough. */
const MAX_POOLED_BYTES = 64 * 1024 * 1024
/** Below this size the allocator is as fast as the pool. */
const MIN_POOLED_BUFFER_BYTES = 64 * 1024

/**
 * Buffers that executor threads have finished with, kept for the next body of exactly the same size. Not an `lru-cache`,
 * because one size has several buffers and eviction removes single buffers of the least recently used size.
 */
export class BufferPool {
  readonly #maxBytes: number
  /** Size → free buffers of that size; the most recently used size is last. */
  readonly #bySize = new Map<number, ArrayBuffer[]>()
  #bytes = 0

  constructor(maxBytes = MAX_POOLED_BYTES) {
    this.#maxBytes = maxBytes
  }

  get bytes(): number {
    return this.#bytes
  }

  /** @returns a buffer of exactly this size with arbitrary content; undefined if there is none. */
  take(bytes: number): ArrayBuffer | undefined {
    const buffer = this.#bySize.get(bytes)?.pop()
    if (buffer) this.#bytes -= bytes
    return buffer
  }

  /** @param buffers must have no other readers. */
  give(buffers: readonly ArrayBuffer[]): void {
    for (const buffer of buffers) {
      const size = buffer.byteLength
      if (size < MIN_POOLED_BUFFER_BYTES || size > this.#maxBytes) continue
      const same = this.#bySize.get(size) ?? []
      same.push(buffer)
      this.#bySize.delete(size)
      this.#bySize.set(size, same)
      this.#bytes += size
    }
    this.#trim()
  }

  /** Drops buffers of the least recently used sizes until the limit is kept. */
  #trim(): void {
    for (const [size, buffers] of this.#bySize) {
      while (this.#bytes > this.#maxBytes && buffers.length > 0) {
        buffers.pop()
        this.#bytes -= size
      }
      if (buffers.length === 0) this.#bySize.delete(size)
      if (this.#bytes <= this.#maxBytes) return
    }
  }
}

/** The pool of this process. */
export const bufferPool = new BufferPool()

/**
 * Limits the memory of bodies that are being received, which many slow senders could otherwise exhaust, and of the tensors
 * decoded from them, which may be far larger than their bodies.
 */
export class BodyMemoryBudget {
  readonly #maxBytes: number
  #reserved = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /**
   * A body that is alone always fits, whatever its size. @param own bytes that this body has reserved so far.
   * @throws ScissionError overloaded if the budget is exhausted.
   */
  reserve(bytes: number, own: number): void {
    if (this.#reserved > own && this.#reserved + bytes > this.#maxBytes)
      throw new ScissionError(
        'overloaded',
        `requests of ${this.#reserved} bytes together are being received or decoded, more than ${this.#maxBytes} do not fit; ` +
          'send the request again in a moment',
      )
    this.#reserved += bytes
  }

  release(bytes: number): void {
    this.#reserved -= bytes
  }
}
