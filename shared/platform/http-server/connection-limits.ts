/**
 * Bounds the connections of a server, of all clients and of each: one client that opens connections and leaves them open must not
 * keep the others out. One too many is accepted only to be told so: its first request is answered 503 or 429.
 */
import type { Server } from 'node:http'
import type { Socket } from 'node:net'
import tls from 'node:tls'
import { ScissionError } from '../errors.ts'
import { addressOf } from './client-of.ts'

export interface MaxConnections {
  /** Connections of all clients together. */
  maxConnections: number
  /** Connections of one client. */
  maxClientConnections: number
}

/** ms in which a connection that is one too many may send the request that is refused. */
const REFUSED_MS = 2000
/** Connections that are told so at the same time; further ones are closed without a word. */
const MAX_REFUSED_COUNT = 256

export class ConnectionLimits {
  readonly #limits: MaxConnections
  readonly #ofClients = new Map<string, number>()
  readonly #refused = new Map<Socket, ScissionError>()
  readonly #isEncrypted: boolean
  #open = 0

  constructor(server: Server, limits: MaxConnections) {
    this.#limits = limits
    this.#isEncrypted = server instanceof tls.Server
    server.on('connection', (socket) => this.#count(socket))
  }

  /** Why the requests of a connection are refused; undefined if they are not. */
  refusal(socket: Socket): ScissionError | undefined {
    return this.#refused.get(socket)
  }

  #count(socket: Socket): void {
    const client = addressOf(socket)
    const ofClient = this.#ofClients.get(client) ?? 0
    const refusal = this.#whyNot(client, ofClient)
    if (refusal) return this.#refuse(socket, refusal)
    this.#open += 1
    this.#ofClients.set(client, ofClient + 1)
    socket.once('close', () => {
      this.#open -= 1
      const left = (this.#ofClients.get(client) ?? 1) - 1
      if (left > 0) this.#ofClients.set(client, left)
      else this.#ofClients.delete(client)
    })
  }

  #whyNot(client: string, ofClient: number): ScissionError | undefined {
    const { maxConnections, maxClientConnections } = this.#limits
    if (this.#open >= maxConnections)
      return new ScissionError(
        'overloaded',
        `${maxConnections} connections are open, the most that this service takes (SCISSION_MAX_CONNECTIONS); ` +
          'connect again in a moment',
        { limit: maxConnections },
      )
    if (ofClient >= maxClientConnections)
      return new ScissionError(
        'tooManyRequests',
        `${maxClientConnections} connections from ${client} are open, the most that one client may have ` +
          '(SCISSION_MAX_CLIENT_CONNECTIONS); use one of them, or close some',
        { limit: maxClientConnections },
      )
    return undefined
  }

  #refuse(socket: Socket, refusal: ScissionError): void {
    // Nothing can be said before the keys are agreed on, which is work.
    if (this.#isEncrypted || this.#refused.size >= MAX_REFUSED_COUNT) return void socket.destroy()
    this.#refused.set(socket, refusal)
    const late = setTimeout(() => socket.destroy(), REFUSED_MS).unref()
    socket.once('close', () => {
      clearTimeout(late)
      this.#refused.delete(socket)
    })
  }
}
