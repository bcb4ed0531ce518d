/**
 * Kept-alive connections to peers, each with one exchange at a time. The last one given back is the next one used: its
 * congestion window is the widest. `node:http` would do the same; this costs a third of its time per request, which is
 * what a hop is made of once the bytes are there.
 */
import net from 'node:net'
import tls from 'node:tls'

export interface ExchangeEvents {
  onData: (chunk: Buffer) => void
  /** The peer ended, or the socket failed: nothing more comes. */
  onGone: (error: Error & { code?: string }) => void
  onSilence: () => void
}

/** Servers keep an idle connection for a minute or more; one that is about to be closed is not worth the race. */
const IDLE_MS = 50_000
const KEPT_PER_ORIGIN = 256

export class Connection {
  readonly socket: net.Socket
  readonly origin: string
  /** It has carried an exchange before. */
  reused = false
  #events: ExchangeEvents | undefined

  constructor(origin: string, whenGone: (connection: Connection) => void) {
    this.origin = origin
    this.socket = connect(origin)
    this.socket.setNoDelay(true)
    this.socket.on('data', (chunk: Buffer) => {
      // What a peer sends unasked belongs to no request.
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
    this.socket.setTimeout(IDLE_MS)
    this.socket.unref()
  }

  /** Without telling: whoever had it knows. */
  drop(): void {
    this.#events = undefined
    this.socket.destroy()
  }
}

export class Connections {
  readonly #idle = new Map<string, Connection[]>()
  readonly #busy = new Set<Connection>()

  /** @param origin `http://host:port`. */
  take(origin: string, events: ExchangeEvents, idleMs: number): Connection {
    const connection = this.#idle.get(origin)?.pop() ?? new Connection(origin, (gone) => this.#forget(gone))
    this.#busy.add(connection)
    connection.take(events, idleMs)
    return connection
  }

  /** @param usable the exchange is complete and the peer keeps the connection. */
  giveBack(connection: Connection, usable: boolean): void {
    this.#busy.delete(connection)
    const { origin, socket } = connection
    const idle = this.#idle.get(origin) ?? []
    if (!usable || socket.destroyed || socket.writableLength > 0 || idle.length >= KEPT_PER_ORIGIN)
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

function connect(origin: string): net.Socket {
  const { protocol, hostname, port } = new URL(origin)
  const host = hostname.replace(/^\[|\]$/g, '')
  if (protocol !== 'https:') return net.connect({ host, port: Number(port || 80) })
  const servername = net.isIP(host) ? {} : { servername: host }
  return tls.connect({ host, port: Number(port || 443), ...servername, ALPNProtocols: ['http/1.1'] })
}

const closedByPeer = () => Object.assign(new Error('it closed the connection'), { code: 'ECONNRESET' })
