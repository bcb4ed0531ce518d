/** Samples against the inputs that a model declares. */
import type { DeclaredTensor, InputShapes } from '../../../shared/contracts/common.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { nearest } from '../../../shared/platform/nearest.ts'
import { resolveInputShapes } from '../../../shared/onnx/index.ts'

/**
 * Checks names, types and shapes. @returns the samples in the order of the inputs.
 * @throws ScissionError invalidTensor that names the input, what it takes and what was given.
 */
export function checkSamples(inputs: readonly DeclaredTensor[], samples: readonly Tensor[]): Tensor[] {
  for (const { name } of samples) {
    if (inputs.some((input) => input.name === name)) continue
    const names = inputs.map((input) => input.name)
    throw refused(name, `the model has no such input${nearest(name, names)}`)
  }
  const ordered = inputs.flatMap((input) => {
    const sample = samples.find(({ name }) => name === input.name)
    if (!sample) return []
    if (sample.datatype !== input.datatype)
      throw refused(input.name, `it takes ${input.datatype}, the sample is ${sample.datatype}`)
    return [sample]
  })
  try {
    resolveInputShapes(inputs, shapesOf(ordered))
  } catch (thrown) {
    if (!(thrown instanceof ScissionError) || thrown.code === 'internal') throw thrown
    // What is open without a sample can be given as input shapes.
    if (thrown.code !== 'needsInputShapes')
      throw new ScissionError('invalidTensor', `samples: ${thrown.message}`, thrown.details, thrown)
  }
  return ordered
}

const refused = (input: string, why: string) =>
  new ScissionError('invalidTensor', `samples: input "${input}": ${why}`, { input })

/** The shapes of tensors, by name. */
export const shapesOf = (tensors: readonly Pick<Tensor, 'name' | 'shape'>[]): InputShapes =>
  Object.fromEntries(tensors.map(({ name, shape }) => [name, shape]))
