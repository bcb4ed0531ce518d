/**
 * How long connections stay open between requests. Who calls closes them well before the server does: a request that is sent
 * while the server closes is lost, and nobody can tell whether it was carried out.
 */

/** ms after which a server closes a connection without a request. */
export const SERVER_IDLE_MS = 65_000
/** ms after which a client of ours does. */
export const CLIENT_IDLE_MS = 50_000
