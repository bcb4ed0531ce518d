/** Which service answers at an address, and whether it is the one meant. */
import { z } from 'zod'
import { createJsonClient } from '../../../shared/client/http.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { hidePasswordOf } from '../../../shared/platform/hidden-passwords.ts'
import type { Peer } from './peers.ts'

/** A service on the network answers in milliseconds. */
const ASK_TIMEOUT_MS = 1000

/** The part of /healthz that says who answers. */
const Health = z.looseObject({
  service: z.string(),
  resource: z.string().optional(),
  instance: z.string().optional(),
})

/** @throws ScissionError peerUnavailable, deadlineExceeded or internal: nobody answers, or no service of this product. */
export const whoAnswers = (url: string): Promise<z.infer<typeof Health>> =>
  createJsonClient('inference service', url).request(Health, { url: '/healthz', timeout: ASK_TIMEOUT_MS })

/** `nobody`: it cannot be reached, so nothing is known. `instead`: what answers in its place, in words. */
export type Answerer = 'itself' | 'nobody' | { instead: string }

/** Asks at the address of a peer whether it is the peer that answers. Never rejects. */
export async function answererOf({
  url,
  resource: { name, instance },
}: Pick<Peer, 'url' | 'resource'>): Promise<Answerer> {
  try {
    const found = await whoAnswers(url)
    if (found.resource !== name)
      return {
        instead: `the ${found.service} service${found.resource === undefined ? '' : ` "${found.resource}"`}`,
      }
    const isIt = instance === undefined || found.instance === instance
    return isIt ? 'itself' : { instead: `another service called "${name}"` }
  } catch (thrown) {
    return isAnswer(thrown) ? { instead: 'something that is no service of Scission' } : 'nobody'
  }
}

/** A proxy whose machine is away says so with a 5xx. */
function isAnswer(thrown: unknown): boolean {
  if (!(thrown instanceof ScissionError)) return false
  const status = thrown.details?.['status']
  return typeof status === 'number' ? status < 500 : thrown.code === 'internal'
}

/**
 * What is wrong and what to do about it.
 * @param instead what answers at the address of the peer. @param here name of the resource that asked.
 */
export function wrongAddressText(
  { url, resource }: Pick<Peer, 'url' | 'resource'>,
  instead: string,
  here: string,
): string {
  const isRoute = url !== resource.url && url !== resource.internalUrl
  const remedy = isRoute
    ? `correct the address of ${resource.name} in SCISSION_ROUTES of ${here}`
    : `set SCISSION_PUBLIC_URL of ${resource.name} to an address of its own that ${here} can reach`
  return `${here} looked for ${resource.name} at ${hidePasswordOf(url)}, and ${instead} answered: ${remedy}`
}
