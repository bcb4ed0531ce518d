/**
 * Assembles a WebAssembly module from TypeScript expressions, as far as the codec's kernels need the format. Each function
 * takes the code of its operands and returns the code of the expression, so that a kernel reads like its formula:
 *
 *   v128.store(get(out), f32x4.mul(v128.load(get(at)), get(scale)))
 *
 * It takes the place of a compiler that every build would have to install, and of a binary in the repository that nobody
 * can review. Opcodes: WebAssembly Core Specification 2.0, section 5.4 (binary format of instructions).
 */

/** The encoded bytes of an expression. */
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
/** Loads and stores carry an alignment hint (0: any address) and an offset. */
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
  /** Loads 8 bytes; the upper half becomes zero. */
  load64: memory(0x5d),
  store: memory(0x0b),
  and: vector(0x4e),
  or: vector(0x50),
  xor: vector(0x51),
  /** Takes the bits of the first operand if the bit of the third is one, else those of the second. */
  bitselect: vector(0x52),
}

/** Selects 16 bytes of two operands: lanes 0..15 are those of the first, 16..31 those of the second. */
export function shuffle(a: Code, b: Code, lanes: readonly number[]): Code {
  return [...a, ...b, 0xfd, 0x0d, ...lanes]
}

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
  /** Converts signed integers. */
  convert: vector(0xfa),
  add: vector(0xe4),
  mul: vector(0xe6),
  /** b < a ? b : a, in one instruction; a NaN in b is ignored. */
  pmin: vector(0xea),
  pmax: vector(0xeb),
}
export const f64x2 = {
  splat: vector(0x14),
  add: vector(0xf0),
  sub: vector(0xf1),
  mul: vector(0xf2),
  /** Converts the lower two floats to doubles. */
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

/** Repeats the body, which must advance `at`, while `at` + `bytes` <= `end`. */
export function whileFits(at: Variable, bytes: number, end: Variable, body: Code): Code {
  const fits = i32.leU(i32.add(get(at), i32.const(bytes)), get(end))
  return when(fits, [0x03, 0x40, ...body, ...fits, 0x0d, 0, 0x0b])
}

/** Repeats the body, which must advance `at`, while `at` < `end`. */
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

/** Builds a kernel. @param body is called with the variables of the parameters, then of the locals. */
export function kernel(
  parameters: readonly ValueType[],
  locals: readonly ValueType[],
  body: (...variables: Variable[]) => Code,
): Kernel {
  const variables = [...parameters, ...locals].map((type, index) => ({ type, index }))
  return { parameters, locals, body: body(...variables) }
}

/** The bytes of a module that exports each kernel under its key and imports its memory as `env.memory`. */
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

export interface WasmMemory {
  readonly buffer: ArrayBuffer
}

/** The part of the WebAssembly API that is used here; the type declarations of Node have none. */
interface WebAssemblyApi {
  validate: (bytes: Uint8Array<ArrayBuffer>) => boolean
  Memory: new (size: { initial: number; maximum: number }) => WasmMemory
  Module: new (bytes: Uint8Array<ArrayBuffer>) => object
  Instance: new (module: object, imports: { env: { memory: WasmMemory } }) => { exports: unknown }
}

export const WASM = Reflect.get(globalThis, 'WebAssembly') as WebAssemblyApi
