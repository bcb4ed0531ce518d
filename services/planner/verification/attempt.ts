/** Errors of trials as values: what they say decides how a verification goes on. */
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'

/**
 * @returns a failure as a value. @throws ScissionError cancelled; queueUnavailable, which says nothing of the model and passes;
 *   what is no ScissionError.
 */
export async function attempt<T>(work: () => Promise<T>): Promise<T | ScissionError> {
  try {
    return await work()
  } catch (thrown) {
    if (!(thrown instanceof ScissionError) || ENDS_ALL.has(thrown.code)) throw coerceError(thrown)
    return thrown
  }
}

const ENDS_ALL = new Set(['cancelled', 'queueUnavailable'])

/** True if the error says nothing about the model: its machine was not reached, or did not get to it. */
export const isUnreached = ({ code }: ScissionError): boolean => UNREACHED.has(code)
const UNREACHED = new Set(['peerUnavailable', 'notReady', 'overloaded', 'deadlineExceeded', 'notFound'])

/** True if any machine would refuse the input in the same way. */
export const blamesInput = ({ code }: ScissionError): boolean => BLAMES_INPUT.has(code)
const BLAMES_INPUT = new Set(['badRequest', 'invalidTensor', 'invalidValues'])
