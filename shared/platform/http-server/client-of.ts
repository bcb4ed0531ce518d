/**
 * Whose request is this? Whatever is shared out among clients (connections, streams, places in a queue) asks here, and nowhere
 * else. A client is the key that it shows; without one it is the address that it calls from, as all connections are.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { identityOf } from '../access/guard.ts'
import type { Asker } from '../fair-queue.ts'

/** @returns a short text, equal for all requests of one client; of a connection that is closed already, the empty text. */
export function clientOf(req: IncomingMessage): string {
  const identity = identityOf(req)
  return 'id' in identity ? `key ${identity.id}` : addressOf(req.socket)
}

/** IPv4 addresses have another form on a socket that listens on IPv6 as well. */
export const addressOf = ({ remoteAddress = '' }: { remoteAddress?: string | undefined }): string =>
  remoteAddress.replace(/^::ffff:/i, '')

/** Who asks for the work of a request; gone once the connection closes before the answer. */
export function askerOf(req: IncomingMessage, res: ServerResponse): Asker {
  const leaving = new AbortController()
  res.once('close', () => {
    if (!res.writableEnded) leaving.abort()
  })
  if (res.destroyed) leaving.abort()
  return { client: clientOf(req), gone: leaving.signal }
}

/** What a service does of its own accord. */
export const OWN_WORK: Asker = { client: 'this service' }
