/**
 * Made-up inputs, the same for the same seed. Their values vary, so that outputs that depend on them show it: floats are
 * standard normal (ten thousand of them, repeated), bytes cover their range, wider integers are 0 or 1, which is a valid
 * token and index in nearly all models. Hints restrict the values for a model that needs others.
 */
import type { Datatype, TensorSpec } from '../../contracts/common.ts'
import type { InputHint, InputHints } from '../../contracts/model.ts'
import { ScissionError } from '../../platform/errors.ts'
import { encodeElements } from '../../oip/bytes-elements.ts'
import { byteLength, elementCount, type Tensor } from '../../contracts/tensor.ts'
import { entryOf } from '../../platform/entry-of.ts'

/**
 * Makes one tensor per input.
 *
 * @param hints from `Structure.inputHints`: what the values must keep, by input name.
 * @throws ScissionError invalidTensor for shapes with unknown dimensions.
 * @example
 * const inputs = makeInputs(structure.inputs, 1, structure.inputHints)
 * await client.infer('mobilenet', inputs)
 */
export function makeInputs(specs: readonly TensorSpec[], seed: number, hints: InputHints = {}): Tensor[] {
  return specs.map((spec, index) => {
    if (spec.shape.includes(-1)) {
      throw new ScissionError('invalidTensor', `input "${spec.name}" has no fixed shape`, {
        input: spec.name,
        shape: spec.shape,
      })
    }
    return { ...spec, bytes: fill(spec, generator(seed * 1000 + index), entryOf(hints, spec.name)) }
  })
}

/** A small, fast generator of uniform numbers in [0, 1): mulberry32 by Tommy Ettinger (public domain). */
export function generator(seed: number): () => number {
  let state = seed >>> 0
  return () => {
    state = (state + 0x6d2b79f5) >>> 0
    let mixed = Math.imul(state ^ (state >>> 15), state | 1)
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61)
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32
  }
}

/** A standard normal number, by the transform of Box and Muller. */
function normal(random: () => number): number {
  return Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random())
}

function fill(spec: TensorSpec, random: () => number, hint: InputHint = {}): Uint8Array {
  const { datatype, shape } = spec
  const { elements = [], value } = hint
  const count = elementCount(shape)
  if (datatype === 'BYTES') return strings(count, elements)
  const bytes = new Uint8Array(byteLength(datatype, shape))
  const view = new DataView(bytes.buffer)
  const write = WRITERS[datatype]
  const drawn = FLOATS.has(datatype) && elements.length === 0 ? Math.min(count, PERIOD) : count
  for (let i = 0; i < drawn; i++) {
    const element = elements[i % elements.length]
    write(view, i, typeof element === 'number' ? element : (value ?? draw(datatype, random, hint)))
  }
  // Repeats the drawn part; each copy doubles what is filled.
  for (let at = byteLength(datatype, [drawn]); at < bytes.length; at *= 2) bytes.copyWithin(at, 0, at)
  return bytes
}

/**
 * Number of floats that are drawn before they repeat: drawing a whole image takes 20 ms, more than a run of many networks.
 * A prime, so that no row or channel begins with the same values as another.
 */
const PERIOD = 10_007

const FLOATS: ReadonlySet<Datatype> = new Set<Datatype>(['FP16', 'BF16', 'FP32', 'FP64'])

function draw(datatype: Datatype, random: () => number, { min = 0, max }: InputHint): number {
  if (FLOATS.has(datatype)) return normal(random)
  if (datatype === 'INT8' && max === undefined && min === 0) return Math.floor(random() * 256) - 128
  const largest = Math.min(max ?? (datatype === 'UINT8' ? 255 : min + 1), min + MAX_INDEX)
  return min + Math.floor(random() * Math.max(1, largest - min + 1))
}

/** Largest index that is drawn, even for a larger table. */
const MAX_INDEX = 1000

type Writer = (view: DataView, index: number, value: number) => void

const write8: Writer = (view, i, value) => view.setUint8(i, value & 0xff)
const write16: Writer = (view, i, value) => view.setInt16(i * 2, value, true)
const write32: Writer = (view, i, value) => view.setInt32(i * 4, value, true)
const write64: Writer = (view, i, value) => view.setBigInt64(i * 8, BigInt(Math.trunc(value)), true)

const WRITERS: Readonly<Record<Exclude<Datatype, 'BYTES'>, Writer>> = {
  BOOL: write8,
  UINT8: write8,
  INT8: write8,
  UINT16: write16,
  INT16: write16,
  UINT32: write32,
  INT32: write32,
  UINT64: write64,
  INT64: write64,
  FP16: (view, i, value) => view.setUint16(i * 2, halfBits(value), true),
  BF16: (view, i, value) => view.setUint16(i * 2, floatBits(value) >>> 16, true),
  FP32: (view, i, value) => view.setFloat32(i * 4, value, true),
  FP64: (view, i, value) => view.setFloat64(i * 8, value, true),
}

const scratch = new DataView(new ArrayBuffer(4))

function floatBits(value: number): number {
  scratch.setFloat32(0, value)
  return scratch.getUint32(0)
}

/** IEEE 754 half precision, truncated: made-up values need no rounding. */
function halfBits(value: number): number {
  const bits = floatBits(value)
  const sign = (bits >>> 16) & 0x8000
  const exponent = ((bits >>> 23) & 0xff) - 127 + 15
  const mantissa = bits & 0x7fffff
  if (exponent >= 31) return sign | 0x7c00
  if (exponent > 0) return sign | (exponent << 10) | (mantissa >>> 13)
  return exponent < -10 ? sign : sign | ((mantissa | 0x800000) >>> (14 - exponent))
}

const encoder = new TextEncoder()

/** BYTES elements: the given texts in turn, and `a` where there is none. */
function strings(count: number, texts: readonly (number | string | null)[]): Uint8Array {
  const turn = (texts.length > 0 ? texts : [null]).map((text) => encoder.encode(String(text ?? 'a')))
  const whole = encodeElements(turn)
  const rest = encodeElements(turn.slice(0, count % turn.length))
  const turns = Math.floor(count / turn.length)
  const bytes = new Uint8Array(turns * whole.length + rest.length)
  for (let index = 0; index < turns; index++) bytes.set(whole, index * whole.length)
  bytes.set(rest, turns * whole.length)
  return bytes
}
