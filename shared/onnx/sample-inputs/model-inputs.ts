/**
 * A model's inputs for a run: its samples where it has some, made-up values elsewhere. Whoever runs a whole model without a
 * client's request takes its inputs from here.
 */
import type { TensorSpec } from '../../contracts/common.ts'
import type { Structure } from '../../contracts/model.ts'
import { ELEMENT_BYTES, elementCount, type Tensor } from '../../contracts/tensor.ts'
import { decodeElements, encodeElements } from '../../oip/bytes-elements.ts'
import { type NumberArray, typedView } from '../../oip/typed-view.ts'
import { makeInputs } from './sample-inputs.ts'

/** The seed with which samples are taken as they are. */
const AS_GIVEN = 1

/**
 * One tensor per input of the structure, of the structure's shapes. A sample of another shape is repeated or cut to the
 * number of elements. With a seed other than 1, fractions in samples are varied, so that two seeds give two inputs; whole
 * numbers, texts and booleans are kept, because only some values of them may be valid.
 *
 * @param samples from the model (BenchmarkClient.samples, ModelSamples.of); empty if it has none.
 * @throws ScissionError invalidTensor for an input with an unknown dimension.
 * @example
 * const inputs = modelInputs(structure, await benchmark.samples(model.id), 1)
 */
export function modelInputs(
  { inputs, inputHints }: { inputs: readonly TensorSpec[] } & Pick<Structure, 'inputHints'>,
  samples: readonly Tensor[],
  seed: number,
): Tensor[] {
  const given = new Map(samples.map((sample) => [sample.name, sample]))
  return makeInputs(inputs, seed, inputHints).map((madeUp) => {
    const sample = given.get(madeUp.name)
    if (!sample || sample.datatype !== madeUp.datatype || elementCount(sample.shape) === 0) return madeUp
    const tensor = fitted(sample, madeUp)
    return seed === AS_GIVEN ? tensor : varied(tensor, seed)
  })
}

/** The sample's elements in the given shape, repeated or cut to its size. */
function fitted(sample: Tensor, { name, datatype, shape }: Omit<TensorSpec, 'bytes'>): Tensor {
  const count = elementCount(shape)
  if (elementCount(sample.shape) === count) return { ...sample, shape: [...shape] }
  if (datatype === 'BYTES') {
    const elements = decodeElements(sample.bytes, `sample "${name}"`)
    const bytes = encodeElements(Array.from({ length: count }, (_, at) => elements[at % elements.length]!))
    return { name, datatype, shape: [...shape], bytes }
  }
  const bytes = new Uint8Array(count * ELEMENT_BYTES[datatype])
  for (let at = 0; at < bytes.length; at += sample.bytes.length)
    bytes.set(sample.bytes.subarray(0, bytes.length - at), at)
  return { name, datatype, shape: [...shape], bytes }
}

/**
 * Shrinks each fraction by up to a half, which keeps its sign and its range. A tensor of whole numbers only may hold a mask,
 * categories or counts, and is kept.
 */
function varied(tensor: Tensor, seed: number): Tensor {
  if (tensor.datatype !== 'FP32' && tensor.datatype !== 'FP64') return tensor
  const values = typedView(tensor) as NumberArray
  if (values.every((value) => !Number.isFinite(value) || Number.isInteger(value))) return tensor
  const changed = values.map((value, at) => (value * (128 + ((at * 31 + seed * 57) % 128))) / 256)
  return { ...tensor, bytes: new Uint8Array(changed.buffer, changed.byteOffset, changed.byteLength) }
}
