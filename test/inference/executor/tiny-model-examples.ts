/** Tiny models that run on an executor, and inputs of them. */
import { fp32, spec, type TinyModel } from '../tiny-models.ts'

/** y = x + x */
export const doubling: TinyModel = {
  inputs: [spec('x', 'FP32', [3])],
  outputs: [spec('y', 'FP32', [3])],
  nodes: [{ op: 'Add', inputs: ['x', 'x'], outputs: ['y'] }],
}
export const three = () => fp32('x', [3], [1, 2, 3])

/** Takes about 20 ms per run: a chain of matrix products. */
const size = 256
export const slow: TinyModel = {
  inputs: [spec('m0', 'FP32', [size, size])],
  outputs: [spec('m16', 'FP32', [size, size])],
  nodes: [...Array(16).keys()].map((step) => ({
    op: 'MatMul',
    inputs: [`m${step}`, `m${step}`],
    outputs: [`m${step + 1}`],
  })),
}
export const matrix = () => fp32('m0', [size, size], new Float32Array(size * size))
