/** Option values that are numbers; commander refuses the others and names the option (exit code 2). */
import { InvalidArgumentError } from 'commander'

/** @throws InvalidArgumentError unless the text is a whole number, `least` or more. */
export function wholeNumberFrom(least: number): (text: string) => number {
  return (text) => {
    const value = numberIn(text)
    if (Number.isSafeInteger(value) && value >= least) return value
    throw new InvalidArgumentError(`It must be a whole number, ${least} or more.`)
  }
}

export const wholeNumber = wholeNumberFrom(0)

/** @throws InvalidArgumentError unless the text is a finite number, 0 or more. */
export function nonNegative(text: string): number {
  const value = numberIn(text)
  if (Number.isFinite(value) && value >= 0) return value
  throw new InvalidArgumentError('It must be a number, 0 or more.')
}

/** `4,18` → [4, 18]. @throws InvalidArgumentError when one is no whole number. */
export function wholeNumbers(text: string): number[] {
  return text.split(',').map(wholeNumber)
}

/** No text at all is no 0. */
function numberIn(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text)
}
