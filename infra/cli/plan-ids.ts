/** Ids of plans, as a command line gives them. */
import { ScissionError } from '../../shared/platform/errors.ts'

/**
 * @param hint what else could have been meant.
 * @returns the id. @throws ScissionError notFound for what cannot be one, such as the name of a model.
 */
export function planIdOf(text: string, hint: string): string {
  if (/^[0-9a-f]{64}\./.test(text)) return text
  throw new ScissionError(
    'notFound',
    `"${text}" is no id of a plan, which scission plan MODEL --csv prints${hint}`,
  )
}
