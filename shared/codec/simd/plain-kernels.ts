/**
 * The kernels as plain loops. They run if WebAssembly has no SIMD, and on stretches shorter than a vector; tests
 * compare them with the SIMD kernels bit by bit. Addresses and arguments are those of simd-kernels.ts.
 */
import type { Kernels } from './simd-kernels.ts'

/** x + ROUND - ROUND is the integer nearest to x, ties to even, for |x| < 2^51. */
const ROUND = 6755399441055744

export function plainKernels(buffer: ArrayBufferLike): Kernels {
  const bytes = new Uint8Array(buffer)
  const halves = new Uint16Array(buffer)
  const words = new Int32Array(buffer)
  const floats = new Float32Array(buffer)
  return {
    range: (at = 0, end = 0, state = 0) => {
      const first = state >> 2
      for (let i = at >> 2; i < end >> 2; i += 1) {
        const x = floats[i] ?? 0
        if (x < (floats[first] ?? 0)) floats[first] = x
        if (x > (floats[first + 4] ?? 0)) floats[first + 4] = x
        words[first + 8] = Math.max(words[first + 8] ?? 0, (words[i] ?? 0) & 0x7fff_ffff)
      }
    },
    quantise: (at = 0, end = 0, out = 0, low = 0, inverse = 0) => {
      const count = (end - at) >> 2
      for (let i = 0; i < count; i += 1)
        bytes[out + i] = ((floats[(at >> 2) + i] ?? 0) - low) * inverse + ROUND - ROUND
    },
    dequantise: (at = 0, end = 0, out = 0, low = 0, coarse = 0, fine = 0) => {
      for (let i = 0; i < end - at; i += 1) {
        const code = bytes[at + i] ?? 0
        floats[(out >> 2) + i] = Math.fround(low + code * coarse) + Math.fround(code * fine)
      }
    },
    merge: (at = 0, end = 0, out = 0, width = 0) => {
      for (let i = 0; i < (end - at) >> 1; i += 1)
        bytes[out + i] = (bytes[at + 2 * i] ?? 0) | ((bytes[at + 2 * i + 1] ?? 0) << width)
    },
    split: (at = 0, end = 0, out = 0, width = 0, mask = 0) => {
      for (let i = 0; i < end - at; i += 1) {
        const byte = bytes[at + i] ?? 0
        bytes[out + 2 * i] = byte & mask & 0xff
        bytes[out + 2 * i + 1] = (byte >>> width) & mask & 0xff
      }
    },
    toHalf: (at = 0, end = 0, out = 0) => {
      for (let i = 0; i < (end - at) >> 2; i += 1) halves[(out >> 1) + i] = halfOf(words[(at >> 2) + i] ?? 0)
    },
    fromHalf: (at = 0, end = 0, out = 0) => {
      for (let i = 0; i < (end - at) >> 1; i += 1) words[(out >> 2) + i] = floatOf(halves[(at >> 1) + i] ?? 0)
    },
  }
}

const scratch = new Float32Array(1)
const scratchBits = new Int32Array(scratch.buffer)
const HALF = 0x3f00_0000
const MIN_NORMAL = 0x3880_0000

function halfOf(float: number): number {
  const sign = float & -0x8000_0000
  const bits = float ^ sign
  if (bits < MIN_NORMAL) {
    scratchBits[0] = bits
    scratch[0] = (scratch[0] ?? 0) + 0.5
    return ((scratchBits[0] ?? 0) - HALF) | (sign >>> 16)
  }
  const odd = (bits >>> 13) & 1
  return ((bits + ((15 - 127) << 23) + 0xfff + odd) >>> 13) | (sign >>> 16)
}

function floatOf(half: number): number {
  const bits = half & 0x7fff
  scratchBits[0] = bits << 13
  scratch[0] = (scratch[0] ?? 0) * 2 ** 112
  return (scratchBits[0] ?? 0) | (bits > 0x7bff ? 0x7f80_0000 : 0) | ((half & 0x8000) << 16)
}
