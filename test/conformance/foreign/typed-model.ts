/** A model whose inputs and outputs have many datatypes, strings among them, and which can be split between any of them. */
import { DataType, encode, model, node, value } from '../../onnx/support/build.ts'

/** Input → its type; each output has the same with `out_` before its name. */
const DOUBLED = {
  fp32: DataType.FLOAT,
  fp64: DataType.DOUBLE,
  int32: DataType.INT32,
  int64: DataType.INT64,
} as const
/** It has no JSON form in the protocol. */
const HALVES = { fp16: DataType.FLOAT16 } as const
const REPEATED = {
  words: DataType.STRING,
  flags: DataType.BOOL,
  uint8: DataType.UINT8,
  int8: DataType.INT8,
} as const

/**
 * `out_fp32` is twice `fp32`, and so on; `out_words` is `words` twice, one behind the other, as are `out_flags`,
 * `out_uint8` and `out_int8`.
 * @param halves whether FP16 is among them.
 */
export function typedModel(halves: boolean): Uint8Array {
  const doubled = { ...DOUBLED, ...(halves && HALVES) }
  const all = { ...doubled, ...REPEATED }
  return encode(
    model({
      inputs: Object.entries(all).map(([name, type]) => value(name, [3], type)),
      outputs: Object.entries(all).map(([name, type]) =>
        value(`out_${name}`, [name in doubled ? 3 : 6], type),
      ),
      nodes: [
        ...Object.keys(doubled).map((name) => node('Add', [name, name], [`out_${name}`])),
        ...Object.keys(REPEATED).map((name) => node('Concat', [name, name], [`out_${name}`], { axis: 0 })),
      ],
    }),
  )
}
