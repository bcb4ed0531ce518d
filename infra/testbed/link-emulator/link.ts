/**
 * One emulated link: a TCP proxy in front of one target, with a lane in each direction.
 *
 * Connecting costs what it costs over a real link: the target is called half a round trip after the client
 * connected, the client's first byte leaves a whole round trip after it, the target's first byte one and a
 * half (SYN, SYN-ACK, ACK). That the client's own connect() returns at once, its kernel talking to ours,
 * cannot be changed from here; its first byte arrives no sooner for that.
 */
import { once } from 'node:events'
import net, { type Server, type Socket } from 'node:net'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { Flow } from './flow.ts'
import { Lane } from './lane.ts'
import type { Schedule } from './schedule.ts'
import type { CutKind, EmulatedLink, LinkSettings, LinkStatistics } from './settings.ts'

export class Link {
  readonly #link: EmulatedLink
  readonly #schedule: Schedule
  readonly #server: Server
  readonly #sockets = new Set<Socket>()
  readonly #up: Lane
  readonly #down: Lane
  #settings: LinkSettings
  #cut: CutKind | null = null
  /** What waits for a silent cut to end. */
  #afterCut: (() => void)[] = []
  #openConnections = 0
  readonly #count = { upBytes: 0, downBytes: 0, connections: 0, refused: 0 }

  private constructor(link: EmulatedLink, schedule: Schedule) {
    this.#link = link
    this.#settings = { rttMs: link.rttMs, upMbps: link.upMbps, downMbps: link.downMbps }
    this.#schedule = schedule
    this.#up = new Lane(schedule, link.upMbps, link.rttMs / 2)
    this.#down = new Lane(schedule, link.downMbps, link.rttMs / 2)
    this.#server = net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (client) =>
      this.#accept(client),
    )
  }

  /** @throws ScissionError conflict when the port is taken. */
  static async start(link: EmulatedLink, schedule: Schedule): Promise<Link> {
    const started = new Link(link, schedule)
    started.#server.listen(link.listenPort, link.listenHost)
    await once(started.#server, 'listening').catch((thrown: unknown) => {
      const where = `${link.listenHost}:${link.listenPort}`
      const { message } = coerceError(thrown)
      throw new ScissionError(
        'conflict',
        `link ${link.name} cannot listen on ${where}: ${message}`,
        undefined,
        thrown,
      )
    })
    return started
  }

  get port(): number {
    const address = this.#server.address()
    return address !== null && typeof address === 'object' ? address.port : 0
  }

  /** Applies from the next slice and the next connection on. */
  set(changes: Partial<LinkSettings>): void {
    this.#settings = { ...this.#settings, ...changes }
    this.#up.set(this.#settings.upMbps, this.#settings.rttMs / 2)
    this.#down.set(this.#settings.downMbps, this.#settings.rttMs / 2)
  }

  cut(kind: CutKind): void {
    this.#cut = kind
    if (kind === 'reset') this.#resetAll()
    else {
      this.#up.halt()
      this.#down.halt()
    }
  }

  /** What a silent cut held back goes on, as TCP's retransmissions would. */
  restore(): void {
    this.#cut = null
    this.#up.resume()
    this.#down.resume()
    for (const proceed of this.#afterCut.splice(0)) proceed()
  }

  statistics(): LinkStatistics {
    return {
      port: this.port,
      settings: this.#settings,
      cut: this.#cut,
      openConnections: this.#openConnections,
      ...this.#count,
    }
  }

  async close(): Promise<void> {
    const closed = once(this.#server, 'close')
    this.#server.close()
    this.#resetAll()
    await closed
  }

  #resetAll(): void {
    for (const socket of this.#sockets) socket.resetAndDestroy()
  }

  #accept(client: Socket): void {
    this.#count.connections += 1
    if (this.#cut === 'reset') {
      client.on('error', () => undefined)
      client.resetAndDestroy()
      return
    }
    this.#openConnections += 1
    const target = new net.Socket({ allowHalfOpen: true })
    this.#track(client)
    this.#track(target)
    client.once('close', () => {
      this.#openConnections -= 1
      // Never called yet, so nothing would close it.
      if (target.pending && !target.connecting) target.destroy()
    })
    this.#shakeHands(client, target)
  }

  #shakeHands(client: Socket, target: Socket): void {
    const now = () => this.#schedule.now()
    const up = new Flow({
      source: client,
      target,
      lane: this.#up,
      now,
      onDelivered: (bytes) => {
        this.#count.upBytes += bytes
      },
    })
    const down = new Flow({
      source: target,
      target: client,
      lane: this.#down,
      now,
      onDelivered: (bytes) => {
        this.#count.downBytes += bytes
      },
    })
    const { rttMs } = this.#settings
    const acceptedAt = now()
    this.#later(acceptedAt + rttMs / 2, () => this.#dial(target))
    this.#later(acceptedAt + rttMs, () => up.open())
    this.#later(acceptedAt + 1.5 * rttMs, () => down.open())
  }

  #dial(target: Socket): void {
    if (target.destroyed) return
    const onRefused = () => {
      this.#count.refused += 1
    }
    target.once('error', onRefused)
    target.once('connect', () => target.off('error', onRefused))
    target.setNoDelay(true)
    target.connect(this.#link.target)
  }

  /** At `dueMs`, or when the link is whole again. */
  #later(dueMs: number, action: () => void): void {
    this.#schedule.at(
      dueMs,
      () => {
        if (this.#cut === 'silent') this.#afterCut.push(action)
        else action()
      },
      true,
    )
  }

  #track(socket: Socket): void {
    this.#sockets.add(socket)
    socket.once('close', () => this.#sockets.delete(socket))
  }
}
