import type { State } from './state.ts'

/** Name → URL of every inference service that registered, for links to them. */
export async function resourceUrls(state: State): Promise<Record<string, string>> {
  const resources = await state.resources.all()
  return Object.fromEntries(
    resources.flatMap(({ name, url, source }) => (source === 'imported' ? [] : [[name, url] as const])),
  )
}
