/**
 * Classifies the errors of runs. ONNX Runtime throws plain Errors, so their texts decide whose fault a failed run is. Does not
 * load the runtime: the main thread asks as well.
 */
import { memoryBytes } from '../../../../shared/platform/usable-memory.ts'
import { formatInputShapes } from '../../../../shared/contracts/format-input-shapes.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { tidy } from '../../../../shared/onnx/runtime/error-text.ts'
import { type ErrorCode, ScissionError } from '../../../../shared/platform/errors.ts'

const ABOUT_INPUTS = [
  /Got invalid dimensions for input/,
  /Invalid (rank|feed input name|input name)/i,
  /Unexpected input data type/,
  /input '.*' is missing/,
  /Tensor's size\(.*\) does not match data length/,
]

/** A node that fails although the inputs have the right names, types and shapes refuses their values. */
const IN_A_NODE = /Non-zero status code returned while running/
/** … unless it is not implemented here, or there is no memory for it. */
const NOT_THE_VALUES = /not.?implemented|bad_alloc|out of memory/i
const TOO_LARGE = /Failed to allocate memory for requested buffer of size (\d+)/

/**
 * The error of a failed run, with ONNX Runtime's own text: invalidTensor if it blames an input, invalidValues if a node
 * refuses what the inputs hold, otherwise internal.
 * @param varied the inputs, if their shapes vary: a model that runs with others is not to blame, so it is never internal.
 */
export function runError(error: Error, varied?: readonly Pick<Tensor, 'name' | 'shape'>[]): ScissionError {
  const code = codeOf(error.message)
  const reason = `ONNX Runtime: ${tidy(error.message)}`
  if (!varied) return new ScissionError(code, reason, undefined, error)
  const shapes = Object.fromEntries(varied.map(({ name, shape }) => [name, shape]))
  return new ScissionError(
    code === 'internal' ? 'invalidTensor' : code,
    `it does not run with ${formatInputShapes(shapes)}: ${reason}`,
    { shapes },
    error,
  )
}

function codeOf(message: string): ErrorCode {
  if (ABOUT_INPUTS.some((pattern) => pattern.test(message))) return 'invalidTensor'
  // Values can ask for a tensor of any size. One that no memory of this machine could hold is their fault.
  const wantedBytes = TOO_LARGE.exec(message)?.[1]
  if (wantedBytes !== undefined) return Number(wantedBytes) > memoryBytes() ? 'invalidValues' : 'internal'
  return IN_A_NODE.test(message) && !NOT_THE_VALUES.test(message) ? 'invalidValues' : 'internal'
}

/** True for a run that ONNX Runtime gave up because it got no memory for a tensor. */
export const lacksMemory = (message: string): boolean => TOO_LARGE.test(message)
