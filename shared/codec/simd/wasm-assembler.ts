/**
 * A WebAssembly module written as TypeScript expressions: as much of the format as the codec's kernels need. Every
 * helper takes the code of its operands and gives the code of the whole, so a kernel reads like what it computes:
 *
 *   v128.store(get(out), f32x4.mul(v128.load(get(at)), get(scale)))
 *
 * Opcodes: WebAssembly Core Specification 2.0, section 5.4 (binary format of instructions).
 */

/** The bytes of an expression. */
export type Code = readonly number[]
export type ValueType = 'i32' | 'f32' | 'f64' | 'v128'

const TYPE_CODE: Record<ValueType, number> = { i32: 0x7f, f32: 0x7d, f64: 0x7c, v128: 0x7b }

/** Unsigned LEB128. */
function unsigned(value: number): number[] {
  const bytes: number[] = []
  let rest = value
  do {
    const low = rest & 0x7f
    rest >>>= 7
    bytes.push(rest === 0 ? low : low | 0x80)
  } while (rest !== 0)
  return bytes
}

/** Signed LEB128 of a 32-bit integer. */
function signed(value: number): number[] {
  const bytes: number[] = []
  let rest = value | 0
  for (;;) {
    const low = rest & 0x7f
    rest >>= 7
    const last = (rest === 0 && (low & 0x40) === 0) || (rest === -1 && (low & 0x40) !== 0)
    bytes.push(last ? low : low | 0x80)
    if (last) return bytes
  }
}

type Operator = (...operands: Code[]) => Code

const plain =
  (...opcode: number[]): Operator =>
  (...operands) => [...operands.flat(), ...opcode]
const vector = (opcode: number): Operator => plain(0xfd, ...unsigned(opcode))
/** Loads and stores carry an alignment hint (0: none promised) and an offset. */
const memory = (opcode: number): Operator => plain(0xfd, ...unsigned(opcode), 0, 0)

export const i32 = {
  const: (value: number): Code => [0x41, ...signed(value)],
  add: plain(0x6a),
  sub: plain(0x6b),
  ltU: plain(0x49),
  leU: plain(0x4d),
}

export const v128 = {
  load: memory(0x00),
  /** 8 bytes, the upper half zero. */
  load64: memory(0x5d),
  store: memory(0x0b),
  and: vector(0x4e),
  or: vector(0x50),
  xor: vector(0x51),
  /** Bits of the first where the third has ones, of the second elsewhere. */
  bitselect: vector(0x52),
}

/** Bytes of both operands, 0..15 of the first and 16..31 of the second, in any order. */
export const shuffle = (a: Code, b: Code, lanes: readonly number[]): Code => [
  ...a,
  ...b,
  0xfd,
  0x0d,
  ...lanes,
]

export const i8x16 = { narrowU: vector(0x66) }
export const i16x8 = {
  splat: vector(0x10),
  narrowS: vector(0x85),
  shrU: vector(0x8d),
  extendLowU: vector(0x89),
  extendHighU: vector(0x8a),
}
export const i32x4 = {
  splat: vector(0x11),
  add: vector(0xae),
  sub: vector(0xb1),
  shl: vector(0xab),
  shrU: vector(0xad),
  maxS: vector(0xb8),
  ltS: vector(0x39),
  gtS: vector(0x3b),
  extendLowU: vector(0xa9),
  extendHighU: vector(0xaa),
}
export const f32x4 = {
  splat: vector(0x13),
  /** From signed integers. */
  convert: vector(0xfa),
  add: vector(0xe4),
  mul: vector(0xe6),
  /** b < a ? b : a, one instruction; NaN in b is passed over. */
  pmin: vector(0xea),
  pmax: vector(0xeb),
}
export const f64x2 = {
  splat: vector(0x14),
  add: vector(0xf0),
  sub: vector(0xf1),
  mul: vector(0xf2),
  /** The lower two floats as doubles. */
  promote: vector(0x5f),
}
export const f64 = {
  const: (value: number): Code => [0x44, ...new Uint8Array(Float64Array.of(value).buffer)],
}

/** A parameter or local variable of a function. */
export interface Variable {
  index: number
  type: ValueType
}

export const get = ({ index }: Variable): Code => [0x20, ...unsigned(index)]
export const set = ({ index }: Variable, value: Code): Code => [...value, 0x21, ...unsigned(index)]

/** While `at` + `bytes` <= `end`: the body, which moves `at` on itself. */
export function whileFits(at: Variable, bytes: number, end: Variable, body: Code): Code {
  const fits = i32.leU(i32.add(get(at), i32.const(bytes)), get(end))
  return when(fits, [0x03, 0x40, ...body, ...fits, 0x0d, 0, 0x0b])
}

/** While `at` < `end`: the body, which moves `at` on itself. */
export function whileBelow(at: Variable, end: Variable, body: Code): Code {
  const below = i32.ltU(get(at), get(end))
  return when(below, [0x03, 0x40, ...body, ...below, 0x0d, 0, 0x0b])
}

export const when = (condition: Code, body: Code): Code => [...condition, 0x04, 0x40, ...body, 0x0b]
export const advance = (at: Variable, bytes: number): Code => set(at, i32.add(get(at), i32.const(bytes)))

export interface Kernel {
  parameters: readonly ValueType[]
  locals: readonly ValueType[]
  body: Code
}

/** A kernel from a function of its parameters and locals. */
export function kernel(
  parameters: readonly ValueType[],
  locals: readonly ValueType[],
  body: (...variables: Variable[]) => Code,
): Kernel {
  const variables = [...parameters, ...locals].map((type, index) => ({ type, index }))
  return { parameters, locals, body: body(...variables) }
}

/** Exports every kernel under its key, and imports its memory as `env.memory`. */
export function assemble(
  kernels: Readonly<Record<string, Kernel>>,
  memoryPages: number,
): Uint8Array<ArrayBuffer> {
  const all = Object.entries(kernels)
  const types = all.map(([, { parameters }]) => [
    0x60,
    ...list(parameters.map((type) => [TYPE_CODE[type]])),
    0,
  ])
  const exports = all.map(([name], index) => [...text(name), 0x00, ...unsigned(index)])
  const bodies = all.map(([, { locals, body }]) => {
    const code = [...list(locals.map((type) => [1, TYPE_CODE[type]])), ...body, 0x0b]
    return [...unsigned(code.length), ...code]
  })
  return Uint8Array.from([
    ...HEADER,
    ...section(1, list(types)),
    ...section(2, list([[...text('env'), ...text('memory'), 0x02, 0x00, ...unsigned(memoryPages)]])),
    ...section(3, list(all.map((_, index) => unsigned(index)))),
    ...section(7, list(exports)),
    ...section(10, list(bodies)),
  ])
}

/** Magic number and version. */
const HEADER = [0x00, 0x61, 0x73, 0x6d, 0x01, 0x00, 0x00, 0x00]

const list = (items: readonly Code[]): number[] => [...unsigned(items.length), ...items.flat()]
const text = (value: string): number[] => list([...new TextEncoder().encode(value)].map((byte) => [byte]))
const section = (id: number, content: Code): number[] => [id, ...unsigned(content.length), ...content]
