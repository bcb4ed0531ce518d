/** The refusal of a model that loads but does not run: ONNX Runtime's reason, and what the user can do. */
import type { TensorSpec } from '../../contracts/common.ts'
import type { Tensor } from '../../contracts/tensor.ts'
import { ScissionError } from '../../platform/errors.ts'
import { tidy } from '../runtime/error-text.ts'
import type { NoValuesFound } from './trial-search.ts'

const HOW_TO_GIVE =
  'upload it with samples: scission models add FILE --samples INPUTS.npz, or the form field "samples" beside "model"'

/** @param samples those that were given. */
export function trialRefusal(
  { message, suspects, runs }: NoValuesFound,
  inputs: readonly TensorSpec[],
  samples: readonly Tensor[],
): ScissionError {
  const shapeOf = (name: string) => {
    const { datatype, shape } = inputs.find((input) => input.name === name) ?? { datatype: '', shape: [] }
    return `"${name}" (${datatype} [${shape.join(',')}])`
  }
  const madeUp =
    suspects.length > 0
      ? ` (with ${runs === 1 ? 'made-up values' : `made-up values, ${runs} sets of them`}`
      : ''
  const given =
    samples.length > 0 ? ` (with the samples of ${samples.map(({ name }) => `"${name}"`).join(', ')})` : ''
  const advice =
    suspects.length > 0
      ? `${madeUp}); if ${suspects.map(shapeOf).join(', ')} must have particular values, ${HOW_TO_GIVE}`
      : ''
  return new ScissionError(
    'invalidModel',
    `the model loads but does not run: ${tidy(message)}${given}${advice}`,
    {
      runtime: message,
      inputs: suspects,
      runs,
    },
  )
}
