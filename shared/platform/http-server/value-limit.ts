/**
 * Bounds how much a JSON body holds before its schema looks at it: a schema takes microseconds for each value, so that a body of
 * four megabytes would keep the service from everybody else for seconds.
 */
import { ScissionError } from '../errors.ts'

/** Items of lists and members of objects in a body, of routes that name no other number. */
const MAX_VALUES = 10_000

/** @throws ScissionError payloadTooLarge. */
export function refuseManyValues(body: unknown, most = MAX_VALUES): void {
  if (holdsMore(body, most))
    throw new ScissionError(
      'payloadTooLarge',
      `the body holds more than ${most} values (items of lists and members of objects): ask for less at once`,
      { limit: most },
    )
}

function holdsMore(body: unknown, most: number): boolean {
  const left = [body]
  let count = 0
  for (let value = left.pop(); value !== undefined; value = left.pop()) {
    if (typeof value !== 'object' || value === null) continue
    const values: unknown[] = Array.isArray(value) ? value : Object.values(value)
    count += values.length
    if (count > most) return true
    for (const one of values) if (typeof one === 'object') left.push(one)
  }
  return false
}
