/**
 * Scalars: some clients cannot write a tensor without axes and send one element of shape [1], others send a number without
 * axes where the model has one axis of one element. The element is the same, so the tensor gets the shape of the model.
 */
import { codecOf, type CodedTensor } from '../../../shared/codec/index.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { TargetTensor } from '../serving/models/target.ts'

/**
 * @returns the tensors; those of one element whose own shape or whose input's shape is [] have the input's shape. Bytes are
 * not copied. Encoded tensors stay as they are: their shape is that of the code.
 */
export function withScalarShapes(tensors: readonly CodedTensor[], inputs: readonly TargetTensor[]): Tensor[] {
  const shapes = new Map(inputs.map(({ name, shape }) => [name, shape]))
  return tensors.map((tensor) => {
    const wanted = codecOf(tensor) === undefined ? shapes.get(tensor.name) : undefined
    const shape = wanted && scalarShape(tensor.shape, wanted)
    return shape ? { ...tensor, shape } : tensor
  })
}

/** @param wanted -1 marks an open dimension. @returns undefined if the shape stays as it is. */
function scalarShape(given: readonly number[], wanted: readonly number[]): number[] | undefined {
  const differ = given.length !== wanted.length && (given.length === 0 || wanted.length === 0)
  const oneElement = given.every((dim) => dim === 1) && wanted.every((dim) => dim === 1 || dim === -1)
  return differ && oneElement ? wanted.map(() => 1) : undefined
}
