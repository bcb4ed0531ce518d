/** Classifies errors of ONNX Runtime. It throws plain Errors, so their texts decide whose fault a failed run is. */
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'

const ABOUT_INPUTS = [
  /Got invalid dimensions for input/,
  /Invalid (rank|feed input name|input name)/i,
  /Unexpected input data type/,
  /input '.*' is missing/,
  /Tensor's size\(.*\) does not match data length/,
]

/** The error of a failed run: invalidTensor if ONNX Runtime blames an input, otherwise internal, with its own text. */
export function runError(error: Error): ScissionError {
  const code = ABOUT_INPUTS.some((pattern) => pattern.test(error.message)) ? 'invalidTensor' : 'internal'
  return new ScissionError(code, `ONNX Runtime: ${error.message}`, undefined, error)
}

/** The error of a model that cannot be loaded: invalidModel with ONNX Runtime's own text. */
export function loadError(path: string, thrown: unknown): ScissionError {
  const { message } = coerceError(thrown)
  return new ScissionError('invalidModel', `ONNX Runtime cannot load ${path}: ${message}`, { path })
}
