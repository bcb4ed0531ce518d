/**
 * The codec's inner loops as WebAssembly SIMD. Measured in GB of fp32 per second on one core: finding the range and
 * quantising to 8 bits takes 1.2 GB/s as plain loops and 3.9 GB/s here, restoring 6.2 GB/s, copying the same bytes
 * 9.3 GB/s (docs/results.md; `npm run bench -- codecs`). `plain-kernels.ts` computes the same bits.
 *
 * Addresses are byte offsets into the workspace and need no alignment. Kernels that write do so in whole vectors: they may
 * write past the end of their area by less than one step of their loop, which the caller leaves room for or overwrites.
 *
 * Codes are computed in double precision: in single precision the rounding could select the second nearest step.
 */
import {
  advance,
  assemble,
  type Code,
  f32x4,
  f64,
  f64x2,
  get,
  i8x16,
  i16x8,
  i32,
  i32x4,
  type Kernel,
  kernel,
  set,
  shuffle,
  v128,
  type Variable,
  when,
  WASM,
  type WasmMemory,
  whileBelow,
  whileFits,
} from './wasm-assembler.ts'

/** 1.5 · 2^52: the low 32 bits of x + ROUND are the integer nearest to x, ties to even, for |x| < 2^31. */
const ROUND = 6755399441055744
const splat32 = (value: number): Code => i32x4.splat(i32.const(value))
const splat16 = (value: number): Code => i16x8.splat(i32.const(value))
const plus = (at: Variable, bytes: number): Code => i32.add(get(at), i32.const(bytes))

/** Selects the low 32-bit words of the four doubles in two vectors. */
const LOW_WORDS = [0, 1, 2, 3, 8, 9, 10, 11, 16, 17, 18, 19, 24, 25, 26, 27]
const LOW_BYTES_IN_TURN = [0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23]
const HIGH_BYTES_IN_TURN = LOW_BYTES_IN_TURN.map((lane) => lane + 8)

/**
 * (at, end, state): extends the ranges in `state` by the floats of [at, end), of which there are four or more. `state`
 * holds three vectors of four lanes: low, high, and the largest magnitude as the bits of a float.
 */
const range = kernel(
  ['i32', 'i32', 'i32'],
  ['v128', 'v128', 'v128', 'v128', 'v128', 'v128', 'v128'],
  (at, end, state, low, high, magnitude, a, b, c, d) => {
    const bits = (x: Variable) => v128.and(get(x), splat32(0x7fff_ffff))
    const two = (x: Variable, y: Variable): Code => [
      ...set(low, f32x4.pmin(get(low), f32x4.pmin(get(x), get(y)))),
      ...set(high, f32x4.pmax(get(high), f32x4.pmax(get(x), get(y)))),
      ...set(magnitude, i32x4.maxS(get(magnitude), i32x4.maxS(bits(x), bits(y)))),
    ]
    const load = (x: Variable, offset: number) => set(x, v128.load(plus(at, offset)))
    return [
      ...set(low, v128.load(get(state))),
      ...set(high, v128.load(plus(state, 16))),
      ...set(magnitude, v128.load(plus(state, 32))),
      ...whileFits(at, 64, end, [
        ...[a, b, c, d].flatMap((x, index) => load(x, 16 * index)),
        ...two(a, b),
        ...two(c, d),
        ...advance(at, 64),
      ]),
      ...whileFits(at, 16, end, [...load(a, 0), ...two(a, a), ...advance(at, 16)]),
      // The remaining elements, as the vector that ends with them: an element counted twice changes nothing.
      ...when(i32.ltU(get(at), get(end)), [
        ...set(a, v128.load(i32.sub(get(end), i32.const(16)))),
        ...two(a, a),
      ]),
      ...v128.store(get(state), get(low)),
      ...v128.store(plus(state, 16), get(high)),
      ...v128.store(plus(state, 32), get(magnitude)),
    ]
  },
)

/** (at, end, out, low, inverse): quantises each float of [at, end) to one byte, round((x - low) · inverse). */
const quantise = kernel(
  ['i32', 'i32', 'i32', 'f64', 'f64'],
  ['v128', 'v128', 'v128'],
  (at, end, out, low, inverse, lows, inverses, rounds) => {
    const doubles = (offset: number) =>
      f64x2.add(
        f64x2.mul(f64x2.sub(f64x2.promote(v128.load64(plus(at, offset))), get(lows)), get(inverses)),
        get(rounds),
      )
    const four = (offset: number) => shuffle(doubles(offset), doubles(offset + 8), LOW_WORDS)
    const eight = (offset: number) => i16x8.narrowS(four(offset), four(offset + 16))
    return [
      ...set(lows, f64x2.splat(get(low))),
      ...set(inverses, f64x2.splat(get(inverse))),
      ...set(rounds, f64x2.splat(f64.const(ROUND))),
      ...whileBelow(at, end, [
        ...v128.store(get(out), i8x16.narrowU(eight(0), eight(32))),
        ...advance(at, 64),
        ...advance(out, 16),
      ]),
    ]
  },
)

/**
 * (at, end, out, low, coarse, fine): restores each byte of [at, end) to a float, low + code · (coarse + fine). `coarse`
 * has 16 significant bits, so that its product with a code is exact in single precision and only the two sums round.
 */
const dequantise = kernel(
  ['i32', 'i32', 'i32', 'f32', 'f32', 'f32'],
  ['v128', 'v128', 'v128', 'v128', 'v128', 'v128'],
  (at, end, out, low, coarse, fine, lows, coarses, fines, codes, words, four) => {
    const store = (offset: number, integers: Code): Code => [
      ...set(four, f32x4.convert(integers)),
      ...v128.store(
        plus(out, offset),
        f32x4.add(f32x4.add(get(lows), f32x4.mul(get(four), get(coarses))), f32x4.mul(get(four), get(fines))),
      ),
    ]
    const half = (offset: number): Code => [
      ...store(offset, i32x4.extendLowU(get(words))),
      ...store(offset + 16, i32x4.extendHighU(get(words))),
    ]
    return [
      ...set(lows, f32x4.splat(get(low))),
      ...set(coarses, f32x4.splat(get(coarse))),
      ...set(fines, f32x4.splat(get(fine))),
      ...whileBelow(at, end, [
        ...set(codes, v128.load(get(at))),
        ...set(words, i16x8.extendLowU(get(codes))),
        ...half(0),
        ...set(words, i16x8.extendHighU(get(codes))),
        ...half(32),
        ...advance(at, 16),
        ...advance(out, 64),
      ]),
    ]
  },
)

/** (at, end, out, width): packs every two bytes of [at, end), which use `width` bits each: first | second << width. */
const merge = kernel(['i32', 'i32', 'i32', 'i32'], ['i32'], (at, end, out, width, shift) => {
  const pair = (offset: number) => {
    const bytes = v128.load(plus(at, offset))
    // A 16-bit lane is first + 256 · second; shifting it right by 8 - width moves the second next to the first.
    return v128.and(v128.or(bytes, i16x8.shrU(bytes, get(shift))), splat16(0xff))
  }
  return [
    ...set(shift, i32.sub(i32.const(8), get(width))),
    ...whileBelow(at, end, [
      ...v128.store(get(out), i8x16.narrowU(pair(0), pair(16))),
      ...advance(at, 32),
      ...advance(out, 16),
    ]),
  ]
})

/** (at, end, out, width, mask): the inverse of `merge`; `mask` is two bytes of `width` ones each. */
const split = kernel(
  ['i32', 'i32', 'i32', 'i32', 'i32'],
  ['v128', 'v128', 'v128'],
  (at, end, out, width, mask, bytes, first, second) => [
    ...whileBelow(at, end, [
      ...set(bytes, v128.load(get(at))),
      ...set(first, v128.and(get(bytes), i16x8.splat(get(mask)))),
      ...set(second, v128.and(i16x8.shrU(get(bytes), get(width)), i16x8.splat(get(mask)))),
      ...v128.store(get(out), shuffle(get(first), get(second), LOW_BYTES_IN_TURN)),
      ...v128.store(plus(out, 16), shuffle(get(first), get(second), HIGH_BYTES_IN_TURN)),
      ...advance(at, 16),
      ...advance(out, 32),
    ]),
  ],
)

const LOW_16_BITS = [0, 1, 4, 5, 8, 9, 12, 13, 0, 1, 4, 5, 8, 9, 12, 13]
const HALF = 0x3f00_0000
/** 2^-14, the smallest normal half, as the bits of a float. */
const MIN_NORMAL = 0x3880_0000

/**
 * (at, end, out): rounds each float of [at, end) to a half, ties to even; |x| must be at most 65504. Subnormal halves are
 * rounded by adding 0.5, whose last bit has the same weight as theirs. Normal halves are rounded by adding just less than
 * half of their last bit to the bits of the float.
 */
const toHalf = kernel(['i32', 'i32', 'i32'], ['v128', 'v128'], (at, end, out, bits, sign) => {
  const subnormal = i32x4.sub(f32x4.add(get(bits), splat32(HALF)), splat32(HALF))
  const odd = v128.and(i32x4.shrU(get(bits), i32.const(13)), splat32(1))
  const rounded = i32x4.add(i32x4.add(get(bits), splat32(((15 - 127) << 23) + 0xfff)), odd)
  const normal = i32x4.shrU(rounded, i32.const(13))
  const halves = (offset: number, into: Variable): Code => [
    ...set(bits, v128.load(plus(at, offset))),
    ...set(sign, v128.and(get(bits), splat32(-0x8000_0000))),
    ...set(bits, v128.xor(get(bits), get(sign))),
    ...set(
      into,
      v128.or(
        v128.bitselect(subnormal, normal, i32x4.ltS(get(bits), splat32(MIN_NORMAL))),
        i32x4.shrU(get(sign), i32.const(16)),
      ),
    ),
  ]
  return whileBelow(at, end, [
    ...halves(0, bits),
    ...v128.store(get(out), shuffle(get(bits), get(bits), LOW_16_BITS)),
    ...advance(at, 16),
    ...advance(out, 8),
  ])
})

/** 2^112, the difference of the two exponent biases. It is applied by multiplying, which also normalises subnormals. */
const REBIAS = 0x7780_0000

/** (at, end, out): converts each half of [at, end) to the float of the same value, NaN and infinity included. */
const fromHalf = kernel(['i32', 'i32', 'i32'], ['v128', 'v128'], (at, end, out, half, bits) =>
  whileBelow(at, end, [
    ...set(half, i32x4.extendLowU(v128.load64(get(at)))),
    ...set(bits, v128.and(get(half), splat32(0x7fff))),
    ...v128.store(
      get(out),
      v128.or(
        v128.or(
          f32x4.mul(i32x4.shl(get(bits), i32.const(13)), splat32(REBIAS)),
          v128.and(i32x4.gtS(get(bits), splat32(0x7bff)), splat32(0x7f80_0000)),
        ),
        i32x4.shl(v128.and(get(half), splat32(0x8000)), i32.const(16)),
      ),
    ),
    ...advance(at, 8),
    ...advance(out, 16),
  ]),
)

const KERNELS = { range, quantise, dequantise, merge, split, toHalf, fromHalf } satisfies Record<
  string,
  Kernel
>

/** The compiled kernels. Each takes the addresses and numbers that its comment lists. */
export type Kernels = Record<keyof typeof KERNELS, (...values: number[]) => void>

/** @returns undefined if this machine's WebAssembly has no SIMD. */
export function compileKernels(memory: WasmMemory, memoryPages: number): Kernels | undefined {
  const bytes = assemble(KERNELS, memoryPages)
  if (!WASM.validate(bytes)) return undefined
  const instance = new WASM.Instance(new WASM.Module(bytes), { env: { memory } })
  return instance.exports as Kernels
}
