/**
 * Writes a stream to a file and digests it at the same time, so that an upload of any size passes through memory once. It
 * computes the SHA-256 of the whole file, which identifies it, and of every chunk of CHUNK_BYTES, which a resource checks
 * when it fetches only the weights it needs.
 */
import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { pipeline } from 'node:stream/promises'
import { CHUNK_BYTES } from '../../../shared/contracts/range-manifest.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'

export interface Digested {
  bytes: number
  /** SHA-256 of the file, in hexadecimal. */
  sha256: string
  /** SHA-256 of every CHUNK_BYTES of the file; the last chunk may be shorter. */
  chunks: string[]
}

/** A limit on the sum of bytes of all parts of an upload. */
export class ByteBudget {
  readonly limit: number
  #used = 0

  constructor(limit: number) {
    this.limit = limit
  }

  /** @throws ScissionError payloadTooLarge */
  spend(bytes: number): void {
    this.#used += bytes
    if (this.#used > this.limit) throw tooLarge(this.limit)
  }
}

export const tooLarge = (limit: number) =>
  new ScissionError(
    'payloadTooLarge',
    `the model is larger than the limit of ${limit} bytes; it is set by SCISSION_MAX_MODEL_BYTES`,
    { limitBytes: limit },
  )

/**
 * @param source is read to its end or to the first error. The caller destroys it.
 * @throws ScissionError payloadTooLarge; internal if the disk is full; the error that `source` throws.
 */
export async function writeDigested(
  source: AsyncIterable<Uint8Array>,
  file: string,
  budget: ByteBudget,
): Promise<Digested> {
  const whole = createHash('sha256')
  const chunks = new ChunkDigests()
  let bytes = 0
  async function* measured() {
    for await (const part of source) {
      bytes += part.length
      budget.spend(part.length)
      whole.update(part)
      chunks.update(part)
      yield part
    }
  }
  try {
    // Flushed to disk: next the folder is renamed into place, and from then on its digests are trusted.
    await pipeline(measured, createWriteStream(file, { flush: true }))
  } catch (thrown) {
    throw diskError(thrown)
  }
  return { bytes, sha256: whole.digest('hex'), chunks: chunks.end() }
}

class ChunkDigests {
  readonly #done: string[] = []
  #hash = createHash('sha256')
  #filled = 0

  update(part: Uint8Array): void {
    let offset = 0
    while (offset < part.length) {
      const take = Math.min(part.length - offset, CHUNK_BYTES - this.#filled)
      this.#hash.update(part.subarray(offset, offset + take))
      this.#filled += take
      offset += take
      if (this.#filled === CHUNK_BYTES) this.#close()
    }
  }

  end(): string[] {
    if (this.#filled > 0) this.#close()
    return this.#done
  }

  #close(): void {
    this.#done.push(this.#hash.digest('hex'))
    this.#hash = createHash('sha256')
    this.#filled = 0
  }
}

function diskError(thrown: unknown): unknown {
  const error = coerceError(thrown)
  const code = 'code' in error ? error.code : undefined
  if (code !== 'ENOSPC' && code !== 'EDQUOT') return thrown
  return new ScissionError(
    'internal',
    'the disk of the benchmark service is full: nothing was stored; free space under SCISSION_DATA and upload again',
    undefined,
    error,
  )
}
