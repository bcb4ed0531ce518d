/**
 * Who answered a probe: it says so in the `Server-Timing` of an answer that is sent anyway, so that what another machine answers
 * at a wrong address is never recorded.
 *
 *   Server-Timing: by;desc="edge 0b6c2f1e-…"
 */
import type { Resource } from '../../../shared/contracts/resource.ts'

export interface AnsweredBy {
  resource: string
  /** Of this run of its service. */
  instance: string
}

export const writeAnsweredBy = ({ resource, instance }: AnsweredBy): string =>
  `by;desc="${resource} ${instance}"`

function readAnsweredBy(header: string | string[] | undefined): AnsweredBy | undefined {
  const text = Array.isArray(header) ? header.join(', ') : (header ?? '')
  const [, resource, instance] = /\bby;desc="([a-z0-9-]{1,63}) ([\w-]{1,64})"/.exec(text) ?? []
  return resource === undefined || instance === undefined ? undefined : { resource, instance }
}

/**
 * @param meant as it is registered; without an instance only its name counts.
 * @returns false if the answer does not say who answered: an earlier version, or no service of this product.
 * @throws Error if another machine answered, or another service of the same name.
 */
export function checkAnsweredBy(
  { name, instance }: Pick<Resource, 'name' | 'instance'>,
  header: string | string[] | undefined,
): boolean {
  const by = readAnsweredBy(header)
  if (by === undefined) return false
  if (by.resource !== name) throw new Error(`${by.resource} answered`)
  if (instance !== undefined && by.instance !== instance)
    throw new Error(`another start of ${name}, or another service of that name, answered`)
  return true
}
