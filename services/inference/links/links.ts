/**
 * Keeps the links from this resource to those of later tiers measured: when a peer appears, every `linkIntervalMs`,
 * and on request. One measurement at a time from here, so that they do not share a link; asking for a link that is
 * being measured waits for that measurement. A link that was overridden by hand stays as it is.
 */
import type { Link } from '../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../shared/errors.ts'
import type { Logger } from '../../../shared/log.ts'
import { type Change, linkId, type State } from '../../../shared/state.ts'
import type { Caller } from '../http/call.ts'
import type { Peer, Peers } from '../peers.ts'
import { measureLink } from './measure.ts'

export interface LinkParts {
  resource: string
  tierIndex: number
  state: State
  peers: Peers
  caller: Caller
  linkIntervalMs: number
  log: Logger
}

/** A link that could not be measured is tried again this much later, while the peer is alive. */
const RETRY_MS = 10_000

export class Links {
  readonly #parts: LinkParts
  readonly #underWay = new Map<string, Promise<Link>>()
  /** When the link to a peer was last measured, or tried to be. */
  readonly #tried = new Map<string, { at: number; measured: boolean }>()
  #queue: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(parts: LinkParts) {
    this.#parts = parts
  }

  start(): void {
    this.#timer = setInterval(() => this.#background(() => true), this.#parts.linkIntervalMs)
  }

  /**
   * Measures now. @param to default: every alive resource of a later tier.
   * @throws ScissionError notFound when one of `to` is not there; peerUnavailable when one cannot be reached.
   */
  async measure(to?: readonly string[]): Promise<Link[]> {
    const peers = await this.#parts.peers.later(this.#parts.tierIndex)
    const chosen = to === undefined ? peers : to.map((name) => choose(peers, name))
    return Promise.all(chosen.map((peer) => this.#measureOne(peer)))
  }

  onChange(change: Change): void {
    if (change.kind !== 'resources' || change.id === this.#parts.resource) return
    if (this.#isDue(change.id)) this.#background((peer) => this.#isDue(peer.resource.name))
  }

  onResync(): void {
    this.#background((peer) => this.#isDue(peer.resource.name))
  }

  close(): void {
    this.#closed = true
    clearInterval(this.#timer)
  }

  /** Not measured yet, and not tried just now: a peer announces itself with every heartbeat. */
  #isDue(name: string): boolean {
    const last = this.#tried.get(name)
    return !last || (!last.measured && Date.now() - last.at >= RETRY_MS)
  }

  #background(wanted: (peer: Peer) => boolean): void {
    this.#measureWanted(wanted).catch((error: unknown) =>
      // The connection itself says at once, and once, that Redis is away.
      this.#parts.log.debug({ err: coerceError(error) }, 'could not read the resources from Redis'),
    )
  }

  async #measureWanted(wanted: (peer: Peer) => boolean): Promise<void> {
    const peers = (await this.#parts.peers.later(this.#parts.tierIndex)).filter(wanted)
    const outcomes = await Promise.allSettled(peers.map((peer) => this.#measureOne(peer)))
    for (const outcome of outcomes) if (outcome.status === 'rejected') this.#report(outcome.reason)
  }

  #report(error: unknown): void {
    if (!this.#closed) this.#parts.log.warn({ err: coerceError(error) }, coerceError(error).message)
  }

  #measureOne(peer: Peer): Promise<Link> {
    const name = peer.resource.name
    const running = this.#underWay.get(name)
    if (running) return running
    const link = this.#queue.then(() => this.#measureAndStore(peer))
    this.#underWay.set(name, link)
    this.#queue = link.catch(() => undefined).finally(() => this.#underWay.delete(name))
    return link
  }

  async #measureAndStore(peer: Peer): Promise<Link> {
    if (this.#closed) throw new ScissionError('cancelled', 'the service is stopping')
    const { state, caller, resource, log } = this.#parts
    const attempt = { at: Date.now(), measured: false }
    this.#tried.set(peer.resource.name, attempt)
    const link = await measureLink(caller, resource, peer)
    attempt.measured = true
    const id = linkId(link.from, link.to)
    const stored = await state.links.get(id)
    if (stored?.source === 'override') log.debug(`link ${id} is overridden; the measurement is not stored`)
    else await state.links.put(id, link)
    log.info(
      { link: id, rttMs: link.rttMs, upMbps: link.bandwidthMbps, downMbps: link.returnBandwidthMbps },
      `link to ${link.to}: ${link.rttMs.toFixed(2)} ms round trip, ` +
        `${link.bandwidthMbps.toFixed(1)} Mbit/s there, ${link.returnBandwidthMbps.toFixed(1)} back` +
        (link.emulated ? ' (emulated)' : ''),
    )
    return link
  }
}

function choose(peers: readonly Peer[], name: string): Peer {
  const found = peers.find((peer) => peer.resource.name === name)
  if (found) return found
  const known = peers.map((peer) => peer.resource.name)
  throw new ScissionError(
    'notFound',
    `"${name}" is not an alive resource of a later tier; those are: ${known.join(', ') || 'none'}`,
    { known },
  )
}
