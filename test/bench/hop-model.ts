/** x → r = Relu(x), 1 MB → y = ReduceMax(r), one number: what crosses the cut is large and computing is nothing. */
import { writeModel, spec } from '../inference/tiny-models.ts'

const ELEMENTS = 250_000
export const HOP_TENSOR_BYTES = 4 * ELEMENTS

export function writeHopModel(file: string): Promise<void> {
  writeModel(file, {
    inputs: [spec('x', 'FP32', [1, ELEMENTS])],
    outputs: [spec('y', 'FP32', [1, 1])],
    nodes: [
      { op: 'Relu', inputs: ['x'], outputs: ['r'], name: 'r' },
      { op: 'ReduceMax', inputs: ['r'], outputs: ['y'], name: 'y', ints: { axes: [1], keepdims: 1 } },
    ],
  })
  return Promise.resolve()
}
