/** What a client shows of itself: a service to the other services, the command line to all of them. */
import type { SecureContextOptions } from 'node:tls'

export interface Credentials {
  /** Value of the Authorization header; undefined if there is none to show. A token may be replaced while a service runs. */
  authorization: () => string | undefined
  /** Certificates for `tls.connect`; absent = those of Node, and none of one's own. They may be replaced too. */
  tls?: { readonly context: SecureContextOptions } | undefined
}

/** Shows nothing. */
export const NO_CREDENTIALS: Credentials = { authorization: () => undefined }

/** @param text `scn_…` */
export const bearer = (text: string): string => `Bearer ${text}`

/** The header of a request, if there is anything to show. */
export function authorizationHeader({ authorization }: Credentials): { Authorization?: string } {
  const value = authorization()
  return value === undefined ? {} : { Authorization: value }
}
