/**
 * Which addresses the services call. A URL comes from a registry or a setting, and a name in it means whatever its name
 * server says at the moment of the call: so the address is looked at when the connection is made, by every client
 * (shared/client, http-client.ts, services/inference/http).
 *
 * Never called: link-local addresses (the metadata of clouds), unspecified ones, multicast and broadcast. Loopback only if
 * the URL itself says loopback: another name that leads there is one that was moved to reach this machine's own services.
 */
import dns from 'node:dns'
import type http from 'node:http'
import net from 'node:net'
import os from 'node:os'
import { ScissionError } from './errors.ts'
import { isLoopback } from './loopback.ts'

const classOf = (what: string, ...ranges: readonly (readonly [string, number])[]) => {
  const list = new net.BlockList()
  // An IPv4 range holds its IPv4-mapped IPv6 addresses too.
  for (const [first, prefix] of ranges) list.addSubnet(first, prefix, net.isIPv6(first) ? 'ipv6' : 'ipv4')
  return { what, list }
}

const NEVER_CALLED = [
  classOf('link-local', ['169.254.0.0', 16], ['fe80::', 10]),
  classOf('unspecified', ['0.0.0.0', 8], ['::', 128]),
  classOf('multicast', ['224.0.0.0', 4], ['ff00::', 8]),
  classOf('broadcast', ['255.255.255.255', 32]),
]
const LOOPBACK = classOf('loopback', ['127.0.0.0', 8], ['::1', 128])

/** Names that mean this machine by themselves: its own may stand beside 127.0.1.1 in /etc/hosts. */
const meansThisMachine = (host: string): boolean =>
  isLoopback(host) || host.endsWith('.localhost') || host === os.hostname().toLowerCase()

/**
 * Why an address is not called; undefined if it may be.
 * @param host of the URL, without brackets. @param address that it stands for; the host itself if it is an address.
 */
export function refusalOfAddress(host: string, address: string): string | undefined {
  const family = net.isIPv6(address) ? 'ipv6' : 'ipv4'
  const isIn = ({ list }: typeof LOOPBACK) => list.check(address, family)
  const never = NEVER_CALLED.find(isIn)
  if (never) return `${address} is a ${never.what} address, which is never called`
  if (!isIn(LOOPBACK) || net.isIP(host) !== 0 || meansThisMachine(host.toLowerCase())) return undefined
  return `${address} is a loopback address, which is called only by a URL that says so`
}

/** @param host of a URL, with or without brackets. @throws ScissionError peerUnavailable if it is an address that is not called. */
export function refuseAddress(host: string): void {
  const address = host.replace(/^\[|\]$/g, '')
  // A name is looked up, and its addresses are checked then.
  const refusal = net.isIP(address) === 0 ? undefined : refusalOfAddress(address, address)
  if (refusal !== undefined) throw new ScissionError('peerUnavailable', refusal, { address })
}

/** `dns.lookup` for sockets, without the addresses that are not called. An address in place of a name is never looked up. */
export const checkedLookup: net.LookupFunction = (hostname, options, callback) => {
  dns.lookup(hostname, { ...options, all: true }, (error, found) => {
    if (error) return callback(error, [])
    const refusals: string[] = []
    const allowed = found.filter(({ address }) => {
      const refusal = refusalOfAddress(hostname, address)
      if (refusal !== undefined) refusals.push(refusal)
      return refusal === undefined
    })
    const [first] = allowed
    if (!first) return callback(refused(hostname, refusals), [])
    if (options.all) return callback(null, allowed)
    return callback(null, first.address, first.family)
  })
}

const refused = (hostname: string, refusals: readonly string[]) =>
  new ScissionError('peerUnavailable', `${hostname}: ${refusals[0] ?? 'no address'}`, { host: hostname })

/** The agent, whose connections go to checked addresses only. */
export function checkedAgent<T extends http.Agent>(agent: T): T {
  const connect = agent.createConnection.bind(agent)
  agent.createConnection = (options, callback) => {
    try {
      refuseAddress(options.host ?? '')
    } catch (error) {
      callback?.(error as Error, undefined as never)
      return undefined
    }
    return connect({ ...options, lookup: checkedLookup }, callback)
  }
  return agent
}
