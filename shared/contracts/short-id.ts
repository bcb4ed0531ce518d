/** Ids of models as tables print them: their first digits, in a profile's id before the rest of it. */

/**
 * @param text `75d2a83e8500`, or `75d2a83e8500.376ed1dc3668.cloud.all-1`.
 * @returns the only id that it is short for; undefined if there is none, or several.
 */
export function idOfShort(text: string, ids: readonly string[]): string | undefined {
  const [, digits, rest = ''] = /^([0-9a-f]{12,63})(\..*)?$/.exec(text) ?? []
  if (digits === undefined) return undefined
  const found = ids.filter((id) => id.startsWith(digits) && id.slice(64) === rest)
  return found.length === 1 ? found[0] : undefined
}
