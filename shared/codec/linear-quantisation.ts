/**
 * Linear quantisation. 2^bits - 1 equal steps lie between the smallest and the largest element of a channel; the code of
 * an element is the number of the nearest step:
 *
 *   step = (high - low) / (2^bits - 1)      code = round((x - low) / step)      decoded = low + code · step
 *
 * The decoded element differs from x by at most half a step, plus the rounding of the result to fp32 (one unit in its
 * last place). Layout of the bytes: the lows of all channels as fp32, then the highs, then the codes, lowest bits first
 * (6 bits: four codes in three bytes).
 */
import { ScissionError } from '../platform/errors.ts'
import type { Bits } from './codec-name.ts'
import {
  CHUNK_ELEMENTS,
  CODES,
  FLOATS,
  NIBBLES,
  PACKED,
  RANGE_STATE,
  type Workspace,
  workspace,
} from './simd/kernel-workspace.ts'
import { plainKernels } from './simd/plain-kernels.ts'

/** Groups of elements that share one range: the whole tensor, or one group per channel (axis 1). */
export interface Channels {
  /** Number of ranges. */
  count: number
  /** Number of neighbouring elements of one channel; the channel of element i is ⌊i / run⌋ mod count. */
  run: number
}

/** Channels with fewer elements are not worth a range each (8 bytes): such a tensor has a single range. */
const MIN_RUN_ELEMENTS = 32

/**
 * @param elements the product of `shape`.
 * @returns a single channel for tensors without axis 1 or with fewer than MIN_RUN_ELEMENTS elements per channel.
 */
export function channelsOf(shape: readonly number[], elements: number, perChannel: boolean): Channels {
  const whole = { count: 1, run: Math.max(1, elements) }
  const count = shape[1] ?? 0
  if (!perChannel || count < 2 || elements === 0) return whole
  const run = shape.slice(2).reduce((product, dim) => product * dim, 1)
  return run < MIN_RUN_ELEMENTS ? whole : { count, run }
}

/** Calls `visit` for each stretch of elements of one channel in [start, end), in order. */
function forEachStretch(
  { count, run }: Channels,
  start: number,
  end: number,
  visit: (channel: number, from: number, to: number) => void,
): void {
  for (let from = start; from < end; ) {
    const block = Math.floor(from / run)
    const to = Math.min(end, (block + 1) * run)
    visit(block % count, from, to)
    from = to
  }
}

export interface Ranges {
  /** The smallest element of each channel. */
  lows: Float32Array
  /** The largest element of each channel. */
  highs: Float32Array
  /** Largest magnitude of all elements; NaN or infinite if one of them is. */
  magnitude: number
}

const LANES = 4
/** The state of the `range` kernel before the first element: four lanes each of low, high and magnitude. */
const EMPTY_RANGE = new Float32Array(3 * LANES).fill(Infinity, 0, LANES).fill(-Infinity, LANES, 2 * LANES)

/** The range of each channel. @param bytes fp32 elements, at least one. */
export function rangesOf(bytes: Uint8Array, channels: Channels, work: Workspace = workspace()): Ranges {
  const count = bytes.byteLength / 4
  const lows = new Float32Array(channels.count).fill(Infinity)
  const highs = new Float32Array(channels.count).fill(-Infinity)
  const plain = plainKernels(work.bytes.buffer)
  const { floats, words } = work
  let magnitude = 0
  for (let start = 0; start < count; start += CHUNK_ELEMENTS) {
    const end = Math.min(count, start + CHUNK_ELEMENTS)
    work.bytes.set(bytes.subarray(4 * start, 4 * end), FLOATS)
    forEachStretch(channels, start, end, (channel, from, to) => {
      floats.set(EMPTY_RANGE, RANGE_STATE / 4)
      const range = to - from < LANES ? plain.range : work.kernels.range
      range(FLOATS + 4 * (from - start), FLOATS + 4 * (to - start), RANGE_STATE)
      for (let lane = 0; lane < LANES; lane += 1) {
        lows[channel] = Math.min(lows[channel] ?? 0, floats[RANGE_STATE / 4 + lane] ?? 0)
        highs[channel] = Math.max(highs[channel] ?? 0, floats[RANGE_STATE / 4 + LANES + lane] ?? 0)
        magnitude = Math.max(magnitude, words[RANGE_STATE / 4 + 2 * LANES + lane] ?? 0)
      }
    })
  }
  // Turns -0 into 0: the encoded bytes must not depend on the order of zeros.
  for (let channel = 0; channel < channels.count; channel += 1) {
    lows[channel] = (lows[channel] ?? 0) + 0
    highs[channel] = (highs[channel] ?? 0) + 0
  }
  return { lows, highs, magnitude: floatOfBits(magnitude) }
}

const floatOfBits = (bits: number): number => new Float32Array(Int32Array.of(bits).buffer)[0] ?? 0

const stepsOf = (bits: Bits) => 2 ** bits - 1

/** Number of bytes that `count` codes take. */
const packedBytes = (count: number, bits: Bits): number =>
  bits === 6 ? 3 * Math.ceil(count / 4) : Math.ceil((count * bits) / 8)

/** Number of bytes of the encoded tensor: ranges and codes. */
export const linearBytes = (count: number, channels: Channels, bits: Bits): number =>
  8 * channels.count + packedBytes(count, bits)

/**
 * Ranges and codes of fp32 elements, in the layout above.
 * @param bytes fp32 elements, all finite.
 * @param ranges the result of `rangesOf(bytes, channels)`.
 * @param out is filled and returned; its length is `linearBytes`.
 */
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
  for (let start = 0; start < count; start += CHUNK_ELEMENTS) {
    const end = Math.min(count, start + CHUNK_ELEMENTS)
    work.bytes.set(bytes.subarray(4 * start, 4 * end), FLOATS)
    forEachStretch(channels, start, end, (channel, from, to) => {
      const at = FLOATS + 4 * (from - start)
      const low = ranges.lows[channel] ?? 0
      work.kernels.quantise(at, at + 4 * (to - from), CODES + from - start, low, inverses[channel] ?? 0)
    })
    // The kernel writes whole vectors: what it wrote past the last code must not reach the last packed byte.
    work.bytes.fill(0, CODES + end - start, CODES + end - start + 64)
    const size = pack(work, end - start, bits)
    out.set(work.bytes.subarray(CODES, CODES + size), head + packedBytes(start, bits))
  }
  return out
}

/** 1 / step of each channel. A channel whose elements are all equal has no steps: the inverse 0 makes all codes 0. */
function inversesOf({ lows, highs }: Ranges, bits: Bits): Float64Array {
  return Float64Array.from(lows, (low, channel) => {
    const span = (highs[channel] ?? 0) - low
    return span === 0 ? 0 : stepsOf(bits) / span
  })
}

/** Packs the codes in place. @returns the number of packed bytes. */
function pack({ kernels, bytes }: Workspace, count: number, bits: Bits): number {
  // Rounded up to whole vectors; the caller has filled the last one with zeros.
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
 * The fp32 elements that ranges and codes stand for.
 * @param encoded in the layout above, of the length that `linearBytes` gives.
 * @param out is filled and returned; its length is 4 · count.
 * @throws ScissionError invalidTensor if a range is not finite or its high is below its low.
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
  for (let start = 0; start < count; start += CHUNK_ELEMENTS) {
    const end = Math.min(count, start + CHUNK_ELEMENTS)
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

/** Outside these limits single precision loses a part of a step or overflows, and doubles are used instead. */
const MIN_FAST_STEP = 2 ** -100
const MAX_FAST_RANGE = 2 ** 127

function dequantise(
  { kernels, bytes, floats }: Workspace,
  at: number,
  end: number,
  into: number,
  low: number,
  step: number,
  bits: Bits,
): void {
  const isFast = step === 0 || (step > MIN_FAST_STEP && step * stepsOf(bits) < MAX_FAST_RANGE)
  if (isFast) {
    const coarse = coarseOf(step)
    kernels.dequantise(at, end, into, low, coarse, Math.fround(step - coarse))
    return
  }
  for (let i = 0; i < end - at; i += 1) floats[into / 4 + i] = (bytes[at + i] ?? 0) * step + low
}

const scratch = new Float32Array(1)
const scratchBits = new Uint32Array(scratch.buffer)

/** `step` truncated to 16 significant bits: its product with a code of 8 bits is exact in single precision. */
function coarseOf(step: number): number {
  scratch[0] = step
  scratchBits[0] = (scratchBits[0] ?? 0) & 0xffff_ff00
  return scratch[0] ?? 0
}

function readRanges(head: Uint8Array, count: number, bits: Bits) {
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
