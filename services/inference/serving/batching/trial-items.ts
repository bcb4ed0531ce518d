/**
 * The items with which batches are tried. Usual items are random, each of another magnitude, so that a scale shared between
 * them changes the answers. Extreme items reveal a network that mixes its items only for some values: beside one of them, the
 * answers to the usual ones must stay the same. NaN and infinity reach everything that is computed from them.
 */
import type { TensorSpec } from '../../../../shared/contracts/common.ts'
import type { InputHints } from '../../../../shared/contracts/model.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { decodeHalf, encodeHalf } from '../../../../shared/codec/half-precision.ts'
import { typedView } from '../../../../shared/oip/typed-view.ts'
import { makeInputs } from '../../../../shared/onnx/sample-inputs/sample-inputs.ts'
import { entryOf } from '../../../../shared/platform/entry-of.ts'

/** An item by its values: random ones of a magnitude, or the same everywhere. */
export type TrialItem = { seed: number; scale: number } | { fill: number }

const FINITE: readonly TrialItem[] = [
  { fill: 0 },
  { fill: 1 },
  { seed: 101, scale: 1e3 },
  { fill: 1e4 },
  { fill: -1e4 },
  { seed: 102, scale: 1e8 },
]
const ENDLESS: readonly TrialItem[] = [{ fill: Infinity }, { fill: -Infinity }, { fill: Number.NaN }]

/** Integers and booleans without a hint are filled with no more: they may be shapes, which would ask for huge tensors. */
const LARGEST_INTEGER = 100

export interface TrialBatch {
  items: TrialItem[]
  /** Extreme items may have no answer, or one that depends on rounding: only the answers to usual items are compared. */
  compared: number[]
}

/** The batches to try for a number of items: usual items, the same in another order, and usual ones beside extreme ones. */
export function trialBatches(size: number): TrialBatch[] {
  const usual = Array.from({ length: size }, (_, index) => ({ seed: index + 1, scale: 1 / (index + 1) }))
  const all = usual.map((_, index) => index)
  const batches: TrialBatch[] = [
    { items: usual, compared: all },
    { items: usual.toReversed(), compared: all },
  ]
  const beside = (extreme: readonly TrialItem[]) => {
    // Alternately before and behind the usual ones, which take the places that are left.
    const others = usual.slice(extreme.length)
    const first = batches.length % 2 === 0
    const items = first ? [...extreme, ...others] : [...others, ...extreme]
    const compared = others.map((_, index) => (first ? index + extreme.length : index))
    batches.push({ items, compared })
  }
  for (let at = 0; at < FINITE.length; at += size - 1) beside(FINITE.slice(at, at + size - 1))
  for (const one of ENDLESS) beside([one])
  return batches
}

/** Makes an item's tensors; they own their bytes. @param specs of one item. */
export function makeItem(specs: readonly TensorSpec[], hints: InputHints = {}, item: TrialItem): Tensor[] {
  return makeInputs(specs, 'seed' in item ? item.seed : 1, hints).map((tensor) => {
    const hint = entryOf(hints, tensor.name)
    // A value that the model needs stays.
    if (hint?.value !== undefined) return tensor
    const change = 'seed' in item ? (value: number) => value * item.scale : () => item.fill
    if (isFloat(tensor)) return hint ? tensor : changed(tensor, change)
    return 'fill' in item ? filled(tensor, item.fill, hint?.max) : tensor
  })
}

const isFloat = ({ datatype }: Tensor) => datatype === 'FP32' || datatype === 'FP64' || datatype === 'FP16'

function changed(tensor: Tensor, change: (value: number) => number): Tensor {
  if (tensor.datatype === 'FP16') {
    const wide = changed({ ...tensor, datatype: 'FP32', bytes: decodeHalf(tensor.bytes) }, change)
    return { ...tensor, bytes: encodeHalf(wide.bytes) }
  }
  const values = typedView(tensor) as Float32Array | Float64Array
  for (const [index, value] of values.entries()) values[index] = change(value)
  return tensor
}

/** @param largest what the model takes; undefined if that is not known. */
function filled(tensor: Tensor, fill: number, largest: number | undefined): Tensor {
  if (tensor.datatype === 'BYTES' || tensor.datatype === 'BF16') return tensor
  const most = tensor.datatype === 'BOOL' ? 1 : (largest ?? LARGEST_INTEGER)
  const value = Math.max(0, Math.min(Number.isNaN(fill) ? 0 : fill, most))
  const values = typedView(tensor)
  if (values instanceof BigInt64Array || values instanceof BigUint64Array) values.fill(BigInt(value))
  else values.fill(value)
  return tensor
}
