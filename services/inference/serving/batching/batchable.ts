/**
 * Decides whether requests may share a run. Shapes decide whether it is possible. That the answers stay the same is tested
 * (whatDiffers), because a network may mix the items of a batch, for instance by a scale computed over all of them.
 */
import type { DeclaredTensor, TensorSpec } from '../../../../shared/contracts/common.ts'
import type { InputHints, Model, Structure } from '../../../../shared/contracts/model.ts'
import type { RangeManifest } from '../../../../shared/contracts/range-manifest.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { typedView } from '../../../../shared/oip/typed-view.ts'
import { makeInputs } from '../../../../shared/onnx/sample-inputs/sample-inputs.ts'
import { joinItems, splitItems } from './items.ts'

/** Operators that may branch on values of the whole batch, which tests could not reveal. */
const DECIDING = new Set(['If', 'Loop', 'Scan', 'SequenceMap'])

/**
 * A model can be batched if it takes one item and its file leaves the number of items open.
 * @returns the reason why its requests cannot share a run; undefined if they may.
 */
export function whyNoBatches(
  { inputs, outputs }: Pick<Model, 'inputs' | 'outputs'>,
  structure: Pick<Structure, 'inputs' | 'outputs' | 'layers'>,
): string | undefined {
  const fixed = [...inputs, ...outputs].find((tensor) => !isOpen(tensor))
  if (fixed) return `the first dimension of "${fixed.name}" is not open in the file`
  const other = [...structure.inputs, ...structure.outputs].find(({ shape }) => shape[0] !== 1)
  if (other) return `"${other.name}" has ${other.shape[0] ?? 'no'} rows, not one`
  const text = [...structure.inputs, ...structure.outputs].find(({ datatype }) => datatype === 'BYTES')
  if (text) return `"${text.name}" is made of strings`
  const deciding = structure.layers.find(({ op }) => DECIDING.has(op))
  return deciding && `layer ${deciding.index} is ${deciding.op}, which may decide by the whole batch`
}

const isOpen = ({ shape }: DeclaredTensor) => typeof shape[0] === 'string'

/** @returns how a range analysed for `size` items differs from `size` times the range for one; undefined if it does not. */
export function whyNoBatchOf(
  one: Pick<RangeManifest, 'inputs' | 'outputs'>,
  many: Pick<RangeManifest, 'inputs' | 'outputs'>,
  size: number,
): string | undefined {
  for (const side of ['inputs', 'outputs'] as const) {
    const names = one[side].map(({ name }) => name).join()
    const others = many[side].map(({ name }) => name).join()
    if (names !== others) return `its ${side} are ${others} instead of ${names}`
    for (const [index, spec] of one[side].entries()) {
      const other = many[side][index]
      if (!other || spec.datatype !== other.datatype || spec.datatype === 'BYTES')
        return `"${spec.name}" is ${other?.datatype}`
      const [rows = 0, ...rest] = spec.shape
      const wanted = [rows * size, ...rest]
      if (spec.shape.length === 0 || wanted.some((dim) => dim < 0) || other.shape.join() !== wanted.join())
        return `"${spec.name}" has shape [${other.shape.join()}] instead of [${wanted.join()}]`
    }
  }
  return undefined
}

/** Powers of two up to the maximum, and the maximum itself: few sessions, and no batch needs padding. */
export function batchSizes(maxBatch: number): number[] {
  const sizes = new Set<number>()
  for (let size = 2; size <= maxBatch; size *= 2) sizes.add(size)
  if (maxBatch > 1) sizes.add(maxBatch)
  return [...sizes].sort((a, b) => a - b)
}

/** Relative to the largest value of a tensor. Kernels sum in another order for a batch, which changes about 1e-7. */
const TOLERANCE = 1e-5

type Run = (inputs: readonly Tensor[]) => Promise<Tensor[]>

/**
 * Tests whether a batch gives the same answers as its items one by one.
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
