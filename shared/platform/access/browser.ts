/**
 * What a browser is kept from: a page of another site that drives a service which its reader can reach. Such a page calls
 * the service by a name of its own that resolves to this machine (DNS rebinding: the Host header tells), or by its right
 * address (the Origin header and Sec-Fetch-Site tell).
 *
 * A door that asks for tokens may have any name: a page that is taken for the service's own has none to show, and people call
 * their machines as they like.
 */
import type { IncomingMessage } from 'node:http'
import { isIP } from 'node:net'
import os from 'node:os'
import { ScissionError } from '../errors.ts'
import { doorOf } from './guard.ts'

/** Nobody can register a name below these (RFC 6761, 6762, 8375; `internal` is reserved by ICANN). */
const PRIVATE_NAME = /\.(localhost|local|internal|test|home\.arpa)$/
/** Of Kubernetes: its DNS answers for it, and no other. */
const CLUSTER_NAME = /\.svc(\.cluster\.local)?$/

/**
 * @param allowed further names, of SCISSION_ALLOWED_HOSTS and of the service's own URLs.
 * @returns a check. It throws ScissionError forbidden.
 */
export function browserCheck(allowed: readonly string[]): (req: IncomingMessage) => void {
  const names = new Set([os.hostname(), ...allowed].map((name) => name.toLowerCase()))
  const isOurs = (hostname: string) =>
    !hostname.includes('.') ||
    isIP(hostname.replace(/^\[|\]$/g, '')) !== 0 ||
    names.has(hostname) ||
    PRIVATE_NAME.test(hostname) ||
    CLUSTER_NAME.test(hostname)
  return (req) => {
    const { headers, method } = req
    const { host, origin } = headers
    if (!doorOf(req).asks && host !== undefined && host !== '' && !isOurs(hostnameOf(host)))
      throw new ScissionError(
        'forbidden',
        `the Host header names "${host.slice(0, 100)}", which is not known to be this service: list it in SCISSION_ALLOWED_HOSTS if it is`,
      )
    if (origin !== undefined && !isSameOrigin(origin, host))
      throw new ScissionError(
        'forbidden',
        `a page of another origin (${origin.slice(0, 100)}) may not call this service`,
      )
    if (headers['sec-fetch-site'] === 'cross-site' && !isNavigation(method, headers['sec-fetch-mode']))
      throw new ScissionError('forbidden', 'a page of another site may not call this service')
  }
}

/** In lower case, without the port. */
function hostnameOf(host: string): string {
  const name = host.toLowerCase()
  return name.startsWith('[')
    ? name.slice(0, name.indexOf(']') + 1)
    : name.replace(/:\d*$/, '').replace(/\.$/, '')
}

/** Behind a proxy that ends TLS the scheme differs. */
const isSameOrigin = (origin: string, host: string | undefined): boolean =>
  host !== undefined &&
  /^https?:\/\//i.test(origin) &&
  origin.replace(/^https?:\/\//i, '').toLowerCase() === host.toLowerCase()

/** The reader follows a link to a page of ours. */
const isNavigation = (method: string | undefined, mode: string | string[] | undefined): boolean =>
  method === 'GET' && mode === 'navigate'
