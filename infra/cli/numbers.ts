/** Parses option values that are numbers. For other values commander prints an error with the option (exit code 2). */
import { InvalidArgumentError } from 'commander'

/** @throws InvalidArgumentError unless the text is an integer of at least `least`. */
export function wholeNumberFrom(least: number): (text: string) => number {
  return (text) => {
    const value = numberIn(text)
    if (Number.isSafeInteger(value) && value >= least) return value
    throw new InvalidArgumentError(`It must be a whole number, ${least} or more, for example ${least + 1}.`)
  }
}

export const wholeNumber = wholeNumberFrom(0)

/** @throws InvalidArgumentError unless the text is a finite number of at least 0. */
export function nonNegative(text: string): number {
  const value = numberIn(text)
  if (Number.isFinite(value) && value >= 0) return value
  throw new InvalidArgumentError('It must be a number, 0 or more, for example 2.5.')
}

/** `4,18` → [4, 18]. @throws InvalidArgumentError if one of them is not an integer. */
export function wholeNumbers(text: string): number[] {
  return text.split(',').map(wholeNumber)
}

/** NaN if the text is not a number; an empty text is not 0. */
export function numberIn(text: string): number {
  return text.trim() === '' ? Number.NaN : Number(text)
}

/** @throws InvalidArgumentError unless the text is a number above 0. */
export function positive(text: string): number {
  const value = numberIn(text)
  if (Number.isFinite(value) && value > 0) return value
  throw new InvalidArgumentError('It must be a number above 0, for example 2.')
}

/** @throws InvalidArgumentError unless the text is a port; 0 is any free one. */
export function portNumber(text: string): number {
  const value = numberIn(text)
  if (Number.isInteger(value) && value >= 0 && value <= 65_535) return value
  throw new InvalidArgumentError('It must be a port up to 65535, for example 8093, or 0 for any free one.')
}
