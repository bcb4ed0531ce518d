/** What a client shows of itself: a service to the other services, the command line to all of them. */
import type { SecureContextOptions } from 'node:tls'

export interface Credentials {
  /**
   * Value of the Authorization header for the service of that name (`planner`, `benchmark`, a resource); undefined if there is none to
   * show. A token may be replaced while a service runs.
   */
  authorization: (to: string) => string | undefined
  /** Certificates for `tls.connect`; absent = those of Node, and none of one's own. They may be replaced too. */
  tls?: { readonly context: SecureContextOptions } | undefined
}

/** What is shown to one service, and which. */
export interface Shown {
  credentials: Credentials
  to: string
}

/** Shows nothing. */
export const NO_CREDENTIALS: Credentials = { authorization: () => undefined }

/** @param credentials absent = nothing is shown. */
export const shownTo = (to: string, credentials: Credentials | undefined): Shown | undefined =>
  credentials && { credentials, to }

/** @param text `scn_…` */
export const bearer = (text: string): string => `Bearer ${text}`

/** The header of a request, if there is anything to show. */
export function authorizationHeader(shown: Shown | undefined): { Authorization?: string } {
  const value = shown?.credentials.authorization(shown.to)
  return value === undefined ? {} : { Authorization: value }
}
