/**
 * Reproducible uniform random numbers: each tensor has a stream of its own, so its values depend on the seed
 * and its name, not on what was written before it.
 *
 * Generator: sfc32 of Chris Doty-Humphrey's PractRand (128 bits of state, about 2 ns per number in V8),
 * started from a SHA-256, so that neighbouring seeds have nothing in common.
 */
import { createHash } from 'node:crypto'

/**
 * Values per inner loop. It is short, so that V8 sees a whole call before it compiles the loop. If V8 compiles the loop
 * during its first call, it discards that code at the end of every call, which is four times as slow.
 */
const BLOCK = 1024

export class UniformStream {
  /** Typed, so that the numbers are not boxed. */
  readonly #state = new Int32Array(4)

  /** @param key distinguishes this stream from all others. */
  constructor(key: string) {
    const digest = createHash('sha256').update(key).digest()
    for (let word = 0; word < this.#state.length; word++) this.#state[word] = digest.readInt32LE(4 * word)
  }

  /** Fills `target` with the next values of the stream, uniform in [low, high). */
  drawInto(target: Float32Array, low: number, high: number): void {
    for (let from = 0; from < target.length; from += BLOCK) {
      drawBlock(this.#state, target, { from, to: Math.min(from + BLOCK, target.length), low, high })
    }
  }
}

function drawBlock(
  state: Int32Array,
  target: Float32Array,
  { from, to, low, high }: { from: number; to: number; low: number; high: number },
): void {
  let a = state[0]! | 0
  let b = state[1]! | 0
  let c = state[2]! | 0
  let counter = state[3]! | 0
  const centre = (low + high) / 2
  const step = (high - low) / 2 ** 32
  for (let index = from; index < to; index++) {
    const next = (((a + b) | 0) + counter) | 0
    counter = (counter + 1) | 0
    a = b ^ (b >>> 9)
    b = (c + (c << 3)) | 0
    c = (((c << 21) | (c >>> 11)) + next) | 0
    target[index] = centre + next * step
  }
  state[0] = a
  state[1] = b
  state[2] = c
  state[3] = counter
}
