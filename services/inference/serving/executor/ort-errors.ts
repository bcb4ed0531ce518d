/** ONNX Runtime throws plain Errors: these are the texts that tell whose fault a failed run is. */
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'

const ABOUT_INPUTS = [
  /Got invalid dimensions for input/,
  /Invalid (rank|feed input name|input name)/i,
  /Unexpected input data type/,
  /input '.*' is missing/,
  /Tensor's size\(.*\) does not match data length/,
]

/** A failed run: invalidTensor when ONNX Runtime blames an input, else internal; its own text either way. */
export function runError(error: Error): ScissionError {
  const code = ABOUT_INPUTS.some((pattern) => pattern.test(error.message)) ? 'invalidTensor' : 'internal'
  return new ScissionError(code, `ONNX Runtime: ${error.message}`, undefined, error)
}

/** A model that does not load: invalidModel with ONNX Runtime's own text. */
export function loadError(path: string, thrown: unknown): ScissionError {
  const { message } = coerceError(thrown)
  return new ScissionError('invalidModel', `ONNX Runtime cannot load ${path}: ${message}`, { path })
}
