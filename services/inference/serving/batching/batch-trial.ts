/**
 * Tries whether a batch gives the same answers as its items one by one. A network may mix the items of a batch, for instance
 * by a scale computed over all of them, and its shapes do not show that.
 */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { InputHints } from '../../../../shared/contracts/model.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import { typedView } from '../../../../shared/oip/typed-view.ts'
import { joinItems, splitItems } from './items.ts'
import { makeItem, type TrialBatch, trialBatches, type TrialItem } from './trial-items.ts'

/** Relative to the largest value of a tensor. Kernels sum in another order for a batch, which changes about 1e-7. */
const TOLERANCE = 1e-5

type Run = (inputs: readonly Tensor[]) => Promise<Tensor[]>

export interface Runs {
  /** Runs an item. */
  one: Run
  /** Runs a batch of `size` items. */
  many: Run
}

/**
 * @param specs inputs of one item. @param size number of items, at least 2.
 * @returns a description of the difference; undefined if there is none. @throws what a run of a usual item throws.
 */
export async function whatDiffers(
  specs: readonly TensorSpec[],
  hints: InputHints | undefined,
  size: number,
  { one, many }: Runs,
): Promise<string | undefined> {
  const make = (item: TrialItem) => makeItem(specs, hints, item)
  const alone = new Map<number, Tensor[]>()
  const answerAlone = async (item: TrialItem) => {
    // Only usual items are compared, and a seed stands for one of them.
    const seed = 'seed' in item ? item.seed : 0
    const known = alone.get(seed) ?? (await one(make(item)))
    alone.set(seed, known)
    return known
  }
  for (const batch of trialBatches(size)) {
    const together = await answerTogether(batch, make, { one, many })
    if (typeof together === 'string') return together
    if (!together) continue
    for (const index of batch.compared) {
      const item = batch.items[index]
      const difference = item && differenceOf(await answerAlone(item), together[index])
      if (difference) return `${difference} in item ${index} beside ${besides(batch, index)}`
    }
  }
  return undefined
}

/** @returns a description if only the batch fails; undefined if an extreme item fails alone too, and so tells nothing. */
async function answerTogether(
  { items }: TrialBatch,
  make: (item: TrialItem) => Tensor[],
  { one, many }: Runs,
): Promise<Tensor[][] | string | undefined> {
  try {
    return splitItems(await many(joinItems(items.map(make))), items.length)
  } catch (thrown) {
    if (!isOfTheBatch(thrown)) throw thrown
    for (const item of items) {
      const fails = await one(make(item)).then(
        () => false,
        () => true,
      )
      if (fails && 'fill' in item) return undefined
    }
    return `a batch of ${items.length} fails: ${coerceError(thrown).message}`
  }
}

/** True if a run failed because of what was computed, and not because it could not be run now. */
const isOfTheBatch = (thrown: unknown) =>
  !(thrown instanceof ScissionError) || ['invalidValues', 'invalidTensor', 'internal'].includes(thrown.code)

const besides = ({ items }: TrialBatch, index: number) =>
  items
    .toSpliced(index, 1)
    .map((item) => ('fill' in item ? `all ${item.fill}` : `random ones times ${item.scale}`))
    .join(', ')

/** @returns which output differs by how much; undefined if none does. */
function differenceOf(expected: readonly Tensor[], given: readonly Tensor[] = []): string | undefined {
  for (const tensor of expected) {
    const other = given.find(({ name }) => name === tensor.name)
    const difference = largestDifference(tensor, other)
    if (difference > TOLERANCE)
      return `"${tensor.name}" differs by ${difference.toExponential(1)} of its largest value`
  }
  return undefined
}

/** The largest difference relative to the largest value. For types other than FP32 and FP64 any difference counts. */
function largestDifference(tensor: Tensor, other: Tensor | undefined): number {
  if (!other || other.shape.join() !== tensor.shape.join()) return Number.POSITIVE_INFINITY
  if (tensor.datatype !== 'FP32' && tensor.datatype !== 'FP64')
    return Buffer.compare(tensor.bytes, other.bytes) === 0 ? 0 : Number.POSITIVE_INFINITY
  const [values, others] = [typedView(tensor), typedView(other)]
  let largest = 0
  let apart = 0
  for (let index = 0; index < values.length; index += 1) {
    const [value, second] = [Number(values[index]), Number(others[index])]
    if (Number.isFinite(value)) largest = Math.max(largest, Math.abs(value))
    if (Object.is(value, second)) continue
    const gap = Math.abs(value - second)
    if (!Number.isFinite(gap)) return Number.POSITIVE_INFINITY
    apart = Math.max(apart, gap)
  }
  return apart === 0 ? 0 : apart / largest
}
