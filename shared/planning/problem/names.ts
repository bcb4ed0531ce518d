/** Names in a query that no tier, resource or tensor has. */
import { ScissionError } from '../../platform/errors.ts'
import { nearest } from '../../platform/nearest.ts'

export { nearest } from '../../platform/nearest.ts'

/** @throws ScissionError notFound for the first name that is not known, naming the query's field. */
export function checkKnown(
  field: string,
  what: string,
  names: readonly string[],
  known: readonly string[],
): void {
  const unknown = names.find((name) => !known.includes(name))
  if (unknown === undefined) return
  const message = `${field}: unknown ${what} "${unknown}"${nearest(unknown, known)}`
  throw new ScissionError('notFound', message, { field, known })
}
