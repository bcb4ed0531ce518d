/**
 * Whose request is this? Whatever is shared out among clients (connections, streams, places in a queue) asks here, and nowhere
 * else. Today a client is the address that it calls from.
 */
import type { IncomingMessage } from 'node:http'

/** @returns a short text, equal for all requests of one client; of a connection that is closed already, the empty text. */
export const clientOf = ({ socket }: Pick<IncomingMessage, 'socket'>): string => addressOf(socket)

/** IPv4 addresses have another form on a socket that listens on IPv6 as well. */
export const addressOf = ({ remoteAddress = '' }: { remoteAddress?: string | undefined }): string =>
  remoteAddress.replace(/^::ffff:/i, '')
