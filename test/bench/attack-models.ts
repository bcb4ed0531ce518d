/** Networks of the attacker and of the client beside it. */
import { negations } from '../inference/executor/tiny-model-examples.ts'
import { encodeModel, spec, type TinyModel } from '../inference/tiny-models.ts'

const relu = (elements: number): TinyModel => ({
  inputs: [spec('x', 'FP32', [1, elements])],
  outputs: [spec('y', 'FP32', [1, elements])],
  nodes: [{ op: 'Relu', inputs: ['x'], outputs: ['y'] }],
})

export const SMALL_ELEMENTS = 1024
export const small = relu(SMALL_ELEMENTS)
/** Its input in JSON is some megabytes. */
export const wide = relu(262_144)

const gather = (values: Float32Array): TinyModel => ({
  inputs: [spec('x', 'INT64', [1])],
  outputs: [spec('y', 'FP32', [1])],
  weights: [{ name: 'w', shape: [values.length], values }],
  nodes: [{ op: 'Gather', inputs: ['w', 'x'], outputs: ['y'] }],
})

/** 128 MB of weights. */
export const heavy = (): TinyModel => gather(new Float32Array(32 * 1024 * 1024).fill(1))

/** So many layers that its structure has 5 MB. */
export const deep = (): TinyModel => negations(20_000)

const MARK = 'number-0000000'

/** @returns models that differ in the name of a node only, which is written into the bytes of the first. */
function numbered(model: TinyModel): (number: number) => Uint8Array<ArrayBuffer> {
  const nodes = model.nodes.map((node, index) => ({ ...node, ...(index === 0 && { name: MARK }) }))
  const bytes = Buffer.from(encodeModel({ ...model, nodes }))
  const at = bytes.indexOf(MARK)
  return (number) => {
    const copy = new Uint8Array(bytes)
    Buffer.from(copy.buffer).write(MARK.slice(0, -7) + String(number).padStart(7, '0'), at)
    return copy
  }
}

/** Models with 16 MB of weights. */
export function fillerModel(): (number: number) => Uint8Array<ArrayBuffer> {
  return numbered(gather(new Float32Array(4 * 1024 * 1024).fill(process.pid)))
}

/** Models of many layers. */
export const deepModels = (): ((number: number) => Uint8Array<ArrayBuffer>) => numbered(deep())

/** Models that the client uploads: none was there before. */
export const freshModel = (): ((number: number) => Uint8Array<ArrayBuffer>) => numbered(relu(8))
