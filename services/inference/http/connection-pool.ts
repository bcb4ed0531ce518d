/**
 * Kept-alive connections to peers, each with one exchange at a time. The connection that was returned last is used next,
 * because its congestion window is the widest. `node:http` would do the same, but takes three times as long per request.
 */
import net from 'node:net'
import tls from 'node:tls'
import { type Credentials, NO_CREDENTIALS } from '../../../shared/platform/credentials.ts'
import { checkedLookup, refuseAddress } from '../../../shared/platform/checked-lookup.ts'
import { CLIENT_IDLE_MS } from '../../../shared/platform/idle-connections.ts'

export interface ExchangeEvents {
  onData: (chunk: Buffer) => void
  /** Called if the peer ended the connection or the socket failed. */
  onGone: (error: Error & { code?: string }) => void
  onSilence: () => void
}

const MAX_IDLE_COUNT_PER_ORIGIN = 256

export class Connection {
  readonly socket: net.Socket
  readonly origin: string
  /** True if the connection carried an exchange before. */
  reused = false
  #events: ExchangeEvents | undefined

  constructor(origin: string, credentials: Credentials, whenGone: (connection: Connection) => void) {
    this.origin = origin
    this.socket = connect(origin, credentials)
    this.socket.setNoDelay(true)
    this.socket.on('data', (chunk: Buffer) => {
      // Bytes that a peer sends without a request are dropped.
      if (this.#events) this.#events.onData(chunk)
      else this.socket.destroy()
    })
    const gone = (error: Error) => {
      whenGone(this)
      this.#events?.onGone(error)
    }
    this.socket.on('error', gone)
    this.socket.on('end', () => gone(closedByPeer()))
    this.socket.on('close', () => gone(closedByPeer()))
    this.socket.on('timeout', () => {
      if (this.#events) this.#events.onSilence()
      else this.socket.destroy()
    })
  }

  take(events: ExchangeEvents, idleMs: number): void {
    this.#events = events
    this.socket.setTimeout(idleMs)
    this.socket.ref()
  }

  rest(): void {
    this.#events = undefined
    this.reused = true
    this.socket.setTimeout(CLIENT_IDLE_MS)
    this.socket.unref()
  }

  /** Closes the connection without calling its events. */
  drop(): void {
    this.#events = undefined
    this.socket.destroy()
  }
}

export class Connections {
  readonly #idle = new Map<string, Connection[]>()
  readonly #busy = new Set<Connection>()
  readonly #credentials: Credentials

  /** @param credentials of whom the certificate is shown. */
  constructor(credentials: Credentials = NO_CREDENTIALS) {
    this.#credentials = credentials
  }

  /** @param origin `http://host:port`. */
  take(origin: string, events: ExchangeEvents, idleMs: number): Connection {
    const connection =
      this.#idle.get(origin)?.pop() ?? new Connection(origin, this.#credentials, (gone) => this.#forget(gone))
    this.#busy.add(connection)
    connection.take(events, idleMs)
    return connection
  }

  /** @param usable true if the exchange is complete and the peer keeps the connection open. */
  giveBack(connection: Connection, usable: boolean): void {
    this.#busy.delete(connection)
    const { origin, socket } = connection
    const idle = this.#idle.get(origin) ?? []
    if (!usable || socket.destroyed || socket.writableLength > 0 || idle.length >= MAX_IDLE_COUNT_PER_ORIGIN)
      return connection.drop()
    connection.rest()
    idle.push(connection)
    this.#idle.set(origin, idle)
  }

  close(): void {
    for (const connection of [...this.#idle.values()].flat()) connection.drop()
    this.#idle.clear()
    for (const connection of this.#busy) connection.socket.destroy(new Error('the service is stopping'))
  }

  #forget(connection: Connection): void {
    this.#busy.delete(connection)
    const idle = this.#idle.get(connection.origin) ?? []
    const place = idle.indexOf(connection)
    if (place < 0) return
    idle.splice(place, 1)
    if (idle.length === 0) this.#idle.delete(connection.origin)
  }
}

/**
 * @param origin `http://host:port`. @param credentials of whom the certificate is shown.
 * @throws ScissionError peerUnavailable if its address is one that is not called.
 */
export function connect(origin: string, credentials: Credentials = NO_CREDENTIALS): net.Socket {
  const { protocol, hostname, port } = new URL(origin)
  refuseAddress(hostname)
  const to = { host: hostname.replace(/^\[|\]$/g, ''), lookup: checkedLookup }
  if (protocol !== 'https:') return net.connect({ ...to, port: Number(port || 80) })
  const servername = net.isIP(to.host) ? {} : { servername: to.host }
  const own = credentials.tls?.context
  return tls.connect({ ...to, port: Number(port || 443), ...servername, ...own, ALPNProtocols: ['http/1.1'] })
}

const closedByPeer = () => Object.assign(new Error('it closed the connection'), { code: 'ECONNRESET' })
