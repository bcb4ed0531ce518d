/** The other services' URLs, as a client that came by some address of this machine can use them. */
import { toScissionError } from './error-answers.ts'

/** Name of a service or resource → its URL. */
export type Neighbours = () => Record<string, string> | Promise<Record<string, string>>

/**
 * @param host the request's Host header: a URL on this machine's loopback is of no use to a client that came from another,
 *   and gets the name by which it called this service.
 * @returns what is known; nothing if it cannot be found out now (Redis may be away), with the reason under `unknown`.
 */
export async function neighboursFor(
  neighbours: Neighbours | undefined,
  host: string | undefined,
): Promise<Record<string, string>> {
  let known: Record<string, string>
  try {
    known = (await neighbours?.()) ?? {}
  } catch (thrown) {
    return { unknown: toScissionError(thrown).message }
  }
  return Object.fromEntries(
    Object.entries(known).flatMap(([name, url]) =>
      url === '' ? [] : [[name, seenFrom(host, url)] as const],
    ),
  )
}

const LOOPBACK = /^(localhost|127\.[\d.]+|\[::1\])$/

function seenFrom(host: string | undefined, url: string): string {
  const called = `http://${host}`
  if (host === undefined || !URL.canParse(called) || !URL.canParse(url)) return url
  const known = new URL(url)
  if (!LOOPBACK.test(known.hostname)) return url
  known.hostname = new URL(called).hostname
  return known.href.replace(/\/$/, '')
}
