/** Paged lists. */
import type { Page } from '../contracts/common.ts'

/**
 * Reads all pages of a list.
 * @param fetchPage called with undefined for the first page, then with the cursor of the next.
 * @example
 * const models = await allPages((cursor) => http.request(pageOf(Model), { url: '/v1/models', params: { cursor } }))
 */
export async function allPages<T>(fetchPage: (cursor: string | undefined) => Promise<Page<T>>): Promise<T[]> {
  const items: T[] = []
  let cursor: string | undefined
  do {
    const page = await fetchPage(cursor)
    items.push(...page.items)
    cursor = page.next
  } while (cursor !== undefined)
  return items
}
