/**
 * Linear quantisation. Between a channel's smallest and largest element lie 2^bits - 1 equal steps, and an element
 * becomes the number of the nearest one:
 *
 *   step = (high - low) / (2^bits - 1)      code = round((x - low) / step)      decoded = low + code · step
 *
 * so that decoded differs from x by at most half a step, and the rounding of the result to fp32 (one unit in its last
 * place). Layout: all lows as
 * fp32, all highs, then the codes, lowest bits first (6 bits: four codes in three bytes).
 */
import { ScissionError } from '../platform/errors.ts'
import { type Channels, forEachStretch } from './channels.ts'
import type { Bits } from './codec-name.ts'
import { plainKernels } from './simd/plain-kernels.ts'
import {
  CHUNK,
  CODES,
  FLOATS,
  NIBBLES,
  PACKED,
  STATE,
  type Workspace,
  workspace,
} from './simd/kernel-memory.ts'

export interface Ranges {
  lows: Float32Array
  highs: Float32Array
  /** Largest magnitude of all elements; NaN or infinite when one of them is. */
  magnitude: number
}

const NOTHING = Float32Array.from([
  ...Array.from({ length: 4 }, () => Number.POSITIVE_INFINITY),
  ...Array.from({ length: 4 }, () => Number.NEGATIVE_INFINITY),
  ...Array.from({ length: 4 }, () => 0),
])
const LANES = 4

/** @param bytes fp32 elements, at least one. */
export function rangesOf(bytes: Uint8Array, channels: Channels, work: Workspace = workspace()): Ranges {
  const count = bytes.byteLength / 4
  const lows = new Float32Array(channels.count).fill(Number.POSITIVE_INFINITY)
  const highs = new Float32Array(channels.count).fill(Number.NEGATIVE_INFINITY)
  const plain = plainKernels(work.bytes.buffer)
  const { floats, words } = work
  let magnitude = 0
  for (let start = 0; start < count; start += CHUNK) {
    const end = Math.min(count, start + CHUNK)
    work.bytes.set(bytes.subarray(4 * start, 4 * end), FLOATS)
    forEachStretch(channels, start, end, (channel, from, to) => {
      floats.set(NOTHING, STATE / 4)
      const range = to - from < LANES ? plain.range : work.kernels.range
      range(FLOATS + 4 * (from - start), FLOATS + 4 * (to - start), STATE)
      for (let lane = 0; lane < LANES; lane += 1) {
        lows[channel] = Math.min(lows[channel] ?? 0, floats[STATE / 4 + lane] ?? 0)
        highs[channel] = Math.max(highs[channel] ?? 0, floats[STATE / 4 + LANES + lane] ?? 0)
        magnitude = Math.max(magnitude, words[STATE / 4 + 2 * LANES + lane] ?? 0)
      }
    })
  }
  // -0 + 0 is 0: which zero came first must not show in the bytes.
  for (let channel = 0; channel < channels.count; channel += 1) {
    lows[channel] = (lows[channel] ?? 0) + 0
    highs[channel] = (highs[channel] ?? 0) + 0
  }
  return { lows, highs, magnitude: floatOfBits(magnitude) }
}

const floatOfBits = (bits: number): number => new Float32Array(Int32Array.of(bits).buffer)[0] ?? 0

const stepsOf = (bits: Bits) => 2 ** bits - 1

/** Bytes of `count` codes. */
export const packedBytes = (count: number, bits: Bits): number =>
  bits === 6 ? 3 * Math.ceil(count / 4) : Math.ceil((count * bits) / 8)

/** Bytes of the whole: ranges and codes. */
export const linearBytes = (count: number, channels: Channels, bits: Bits): number =>
  8 * channels.count + packedBytes(count, bits)

/** @param bytes fp32 elements, all finite. @param ranges theirs. @param out where to put it, of `linearBytes`. */
export function encodeLinear(
  bytes: Uint8Array,
  channels: Channels,
  ranges: Ranges,
  bits: Bits,
  out: Uint8Array<ArrayBuffer> = new Uint8Array(linearBytes(bytes.byteLength / 4, channels, bits)),
  work: Workspace = workspace(),
): Uint8Array<ArrayBuffer> {
  const count = bytes.byteLength / 4
  const head = 8 * channels.count
  out.set(new Uint8Array(ranges.lows.buffer))
  out.set(new Uint8Array(ranges.highs.buffer), 4 * channels.count)
  const inverses = inversesOf(ranges, bits)
  for (let start = 0; start < count; start += CHUNK) {
    const end = Math.min(count, start + CHUNK)
    work.bytes.set(bytes.subarray(4 * start, 4 * end), FLOATS)
    forEachStretch(channels, start, end, (channel, from, to) => {
      const at = FLOATS + 4 * (from - start)
      const low = ranges.lows[channel] ?? 0
      work.kernels.quantise(at, at + 4 * (to - from), CODES + from - start, low, inverses[channel] ?? 0)
    })
    // The last vector's surplus must not reach the last byte of the packed codes.
    work.bytes.fill(0, CODES + end - start, CODES + end - start + 64)
    const size = pack(work, end - start, bits)
    out.set(work.bytes.subarray(CODES, CODES + size), head + packedBytes(start, bits))
  }
  return out
}

/** A channel of one value has no steps: all its codes are 0. */
function inversesOf({ lows, highs }: Ranges, bits: Bits): Float64Array {
  return Float64Array.from(lows, (low, channel) => {
    const span = (highs[channel] ?? 0) - low
    return span === 0 ? 0 : stepsOf(bits) / span
  })
}

/** Packs the codes in place. @returns their bytes. */
function pack({ kernels, bytes }: Workspace, count: number, bits: Bits): number {
  // Whole vectors: the last one ends in zeros.
  const end = CODES + 64 * Math.ceil(count / 64)
  if (bits === 6) packSixes(bytes, count)
  if (bits === 4) kernels.merge(CODES, end, CODES, 4)
  if (bits === 2) {
    kernels.merge(CODES, end, CODES, 2)
    kernels.merge(CODES, (CODES + end) / 2, CODES, 4)
  }
  return packedBytes(count, bits)
}

function packSixes(bytes: Uint8Array, count: number): void {
  for (let at = CODES, to = CODES; at < CODES + count; at += 4, to += 3) {
    const b = bytes[at + 1] ?? 0
    const c = bytes[at + 2] ?? 0
    bytes[to] = (bytes[at] ?? 0) | (b << 6)
    bytes[to + 1] = (b >> 2) | (c << 4)
    bytes[to + 2] = (c >> 4) | ((bytes[at + 3] ?? 0) << 2)
  }
}

/**
 * @param encoded what `encodeLinear` made, of the length that `linearBytes` gives.
 * @param out where to put them.
 * @returns fp32 elements.
 * @throws ScissionError invalidTensor when a range is not finite or upside down.
 */
export function decodeLinear(
  encoded: Uint8Array,
  count: number,
  channels: Channels,
  bits: Bits,
  out: Uint8Array<ArrayBuffer> = new Uint8Array(4 * count),
  work: Workspace = workspace(),
): Uint8Array<ArrayBuffer> {
  const head = 8 * channels.count
  const { lows, steps } = readRanges(encoded.subarray(0, head), channels.count, bits)
  for (let start = 0; start < count; start += CHUNK) {
    const end = Math.min(count, start + CHUNK)
    const packed = encoded.subarray(head + packedBytes(start, bits), head + packedBytes(end, bits))
    unpack(work, packed, end - start, bits)
    forEachStretch(channels, start, end, (channel, from, to) => {
      const at = CODES + from - start
      const into = FLOATS + 4 * (from - start)
      dequantise(work, at, at + to - from, into, lows[channel] ?? 0, steps[channel] ?? 0, bits)
    })
    out.set(work.bytes.subarray(FLOATS, FLOATS + 4 * (end - start)), 4 * start)
  }
  return out
}

/** Steps near the ends of single precision: below, a part of a step is lost; above, a product may overflow. */
const LEAST_STEP = 2 ** -100
const LARGEST_RANGE = 2 ** 127

function dequantise(
  { kernels, bytes, floats }: Workspace,
  at: number,
  end: number,
  into: number,
  low: number,
  step: number,
  bits: Bits,
): void {
  const ordinary = step === 0 || (step > LEAST_STEP && step * stepsOf(bits) < LARGEST_RANGE)
  if (ordinary) {
    const coarse = coarseOf(step)
    kernels.dequantise(at, end, into, low, coarse, Math.fround(step - coarse))
    return
  }
  for (let i = 0; i < end - at; i += 1) floats[into / 4 + i] = (bytes[at + i] ?? 0) * step + low
}

const scratch = new Float32Array(1)
const scratchBits = new Uint32Array(scratch.buffer)

/** The first 16 significant bits. */
function coarseOf(step: number): number {
  scratch[0] = step
  scratchBits[0] = (scratchBits[0] ?? 0) & 0xffff_ff00
  return scratch[0] ?? 0
}

function readRanges(
  head: Uint8Array,
  count: number,
  bits: Bits,
): { lows: Float32Array; steps: Float64Array } {
  const ranges = new Float32Array(new Uint8Array(head).buffer)
  const lows = ranges.subarray(0, count)
  const steps = Float64Array.from(lows, (low, channel) => {
    const high = ranges[count + channel] ?? Number.NaN
    if (Number.isFinite(low) && Number.isFinite(high) && low <= high) return (high - low) / stepsOf(bits)
    throw new ScissionError(
      'invalidTensor',
      `channel ${channel} of a quantised tensor has the range ${low} to ${high}; both must be finite and in order`,
      { channel },
    )
  })
  return { lows, steps }
}

function unpack({ kernels, bytes }: Workspace, packed: Uint8Array, count: number, bits: Bits): void {
  if (bits === 8) bytes.set(packed, CODES)
  else {
    bytes.set(packed, PACKED)
    if (bits === 6) unpackSixes(bytes, count)
    else if (bits === 4) kernels.split(PACKED, PACKED + packed.byteLength, CODES, 4, 0x0f0f)
    else {
      kernels.split(PACKED, PACKED + packed.byteLength, NIBBLES, 4, 0x0f0f)
      kernels.split(NIBBLES, NIBBLES + 2 * packed.byteLength, CODES, 2, 0x0303)
    }
  }
}

function unpackSixes(bytes: Uint8Array, count: number): void {
  for (let at = PACKED, to = CODES; to < CODES + count; at += 3, to += 4) {
    const a = bytes[at] ?? 0
    const b = bytes[at + 1] ?? 0
    const c = bytes[at + 2] ?? 0
    bytes[to] = a & 63
    bytes[to + 1] = (a >> 6) | ((b << 2) & 63)
    bytes[to + 2] = (b >> 4) | ((c << 4) & 63)
    bytes[to + 3] = c >> 2
  }
}
