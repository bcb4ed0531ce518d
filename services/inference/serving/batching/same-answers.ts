/** Tests whether a batch gives the same answers as its items one by one. */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { InputHints } from '../../../../shared/contracts/model.ts'
import { makeInputs } from '../../../../shared/onnx/index.ts'
import { typedView } from '../../../../shared/oip/typed-view.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { joinItems, splitItems } from './batch-tensors.ts'

/** Relative to the largest value of a tensor. Kernels sum in another order for a batch, which changes about 1e-7. */
const TOLERANCE = 1e-5

export type Run = (inputs: readonly Tensor[]) => Promise<Tensor[]>

/**
 * @param specs inputs of one item. @param one runs an item. @param many runs a batch of `size` items.
 * @returns a description of the difference; undefined if there is none. @throws what a run throws.
 */
export async function whatDiffers(
  specs: readonly TensorSpec[],
  hints: InputHints | undefined,
  size: number,
  { one, many }: { one: Run; many: Run },
): Promise<string | undefined> {
  const items = Array.from({ length: size }, (_, index) => madeItem(specs, hints, index))
  const together = splitItems(await many(joinItems(items)), size)
  for (const [index, item] of items.entries()) {
    for (const tensor of await one(item)) {
      const other = together[index]?.find(({ name }) => name === tensor.name)
      const difference = differenceOf(tensor, other)
      if (difference > TOLERANCE)
        return `"${tensor.name}" of item ${index} differs by ${difference.toExponential(1)} of its largest value`
    }
  }
  return undefined
}

/** Makes items of different magnitudes, so that a scale shared between them changes the answers. */
function madeItem(specs: readonly TensorSpec[], hints: InputHints | undefined, index: number): Tensor[] {
  return makeInputs(specs, index + 1, hints).map((tensor) => {
    if (tensor.datatype !== 'FP32' || hints?.[tensor.name]) return tensor
    const values = (typedView(tensor) as Float32Array).map((value) => value / (index + 1))
    return { ...tensor, bytes: new Uint8Array(values.buffer) }
  })
}

/** The largest difference relative to the largest value. For types other than FP32 and FP64 any difference counts. */
function differenceOf(tensor: Tensor, other: Tensor | undefined): number {
  if (!other || other.shape.join() !== tensor.shape.join()) return Number.POSITIVE_INFINITY
  if (tensor.datatype !== 'FP32' && tensor.datatype !== 'FP64')
    return Buffer.compare(tensor.bytes, other.bytes) === 0 ? 0 : Number.POSITIVE_INFINITY
  const [values, others] = [typedView(tensor), typedView(other)]
  let largest = 0
  let apart = 0
  for (let index = 0; index < values.length; index += 1) {
    const [value, second] = [Number(values[index]), Number(others[index])]
    if (Object.is(value, second)) continue
    const gap = Math.abs(value - second)
    if (Number.isNaN(gap)) return Number.POSITIVE_INFINITY
    largest = Math.max(largest, Math.abs(value))
    apart = Math.max(apart, gap)
  }
  return apart === 0 ? 0 : apart / largest
}
