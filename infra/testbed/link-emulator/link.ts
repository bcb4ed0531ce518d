/**
 * One emulated link: a TCP proxy in front of one target, with a lane in each direction.
 *
 * Connecting takes as long as over a real link (SYN, SYN-ACK, ACK): the target is called half a round trip after the client
 * connected, the client's first byte leaves after one round trip, and the target's first byte after one and a half. The
 * client's own connect() still returns at once, because the local kernel accepts the connection; its first byte does not
 * arrive earlier for that.
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
  /** Actions that wait for the end of a silent cut. */
  #afterCut: (() => void)[] = []
  #openConnections = 0
  readonly #count = { connections: 0, refused: 0 }

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

  /** @throws ScissionError conflict if the port is taken. */
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

  /** Ends a cut. Data that a silent cut held back is delivered, as TCP's retransmissions would do. */
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
      upBytes: this.#up.deliveredBytes,
      downBytes: this.#down.deliveredBytes,
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
      // The target was not dialled yet, so nothing else would close its socket.
      if (target.pending && !target.connecting) target.destroy()
    })
    this.#shakeHands(client, target)
  }

  #shakeHands(client: Socket, target: Socket): void {
    const up = new Flow(client, target, this.#up)
    const down = new Flow(target, client, this.#down)
    const { rttMs } = this.#settings
    const acceptedAt = performance.now()
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

  /** Runs the action at `dueMs`, or after the end of a silent cut. */
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
