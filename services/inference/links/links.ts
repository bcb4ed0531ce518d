/**
 * Keeps the links from this resource to those of later tiers measured: with probes when a peer appears and on request,
 * then from the messages that cross them (`observe`); every `linkIntervalMs` those are probed again that no traffic
 * passed for so long. One measurement at a time from here, so that they do not share a link; asking for a link that is
 * being measured waits for that measurement. A link that was overridden by hand stays as it is.
 */
import type { Link } from '../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { Change } from '../../../shared/platform/redis/changes.ts'
import { linkId, type State } from '../../../shared/platform/redis/state.ts'
import type { Observation } from '../../../shared/platform/transfer-times.ts'
import type { Peer, Peers } from '../registration/peers.ts'
import { published } from './figures.ts'
import { Freshness } from './freshness.ts'
import { LargestTensors } from './largest-tensors.ts'
import { measureLink } from './measure-link.ts'

export interface LinkParts {
  resource: string
  tierIndex: number
  state: State
  peers: Peers
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
  readonly #freshness: Freshness
  readonly #largest: LargestTensors
  #queue: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #closed = false

  constructor(parts: LinkParts) {
    this.#parts = parts
    this.#freshness = new Freshness(parts.linkIntervalMs)
    this.#largest = new LargestTensors(parts.state, parts.log)
  }

  start(): void {
    const stale = (peer: Peer) => this.#freshness.isStale(peer.resource.name, performance.now())
    this.#timer = setInterval(() => this.#background(stale), this.#parts.linkIntervalMs)
  }

  /** A request that `to` answered, as it was timed: keeps the link's figures fresh. Never fails, never waits. */
  observe(to: Peer, observation: Observation): void {
    const seen = this.#freshness.observe(to.resource.name, observation, performance.now())
    if (!seen || this.#closed) return
    this.#store({ ...this.#identity(to), ...published(seen.figures), basis: seen.basis }).catch(
      (error: unknown) =>
        this.#parts.log.debug({ err: coerceError(error) }, `the link to ${to.resource.name} was not updated`),
    )
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
    this.#largest.onChange(change)
    if (change.kind !== 'resources' || change.id === this.#parts.resource) return
    if (this.#isDue(change.id)) this.#background((peer) => this.#isDue(peer.resource.name))
  }

  onResync(): void {
    this.#largest.onResync()
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
    const attempt = { at: Date.now(), measured: false }
    this.#tried.set(peer.resource.name, attempt)
    const { figures, probes, samples, own } = await measureLink(peer, this.#largest.bytes)
    attempt.measured = true
    this.#freshness.probed(peer.resource.name, figures, probes, own, performance.now())
    const basis = { probes, traffic: 0 }
    const link = { ...this.#identity(peer), ...published(figures), basis, samples }
    await this.#store(link)
    this.#parts.log.info(
      {
        link: linkId(link.from, link.to),
        rttMs: link.rttMs,
        upMbps: link.bandwidthMbps,
        downMbps: link.returnBandwidthMbps,
      },
      `link to ${link.to}: ${link.rttMs.toFixed(2)} ms round trip, ` +
        `${link.bandwidthMbps.toFixed(1)} Mbit/s there, ${link.returnBandwidthMbps.toFixed(1)} back` +
        (link.emulated ? ' (emulated)' : ''),
    )
    return link
  }

  #identity(peer: Peer) {
    return {
      from: this.#parts.resource,
      to: peer.resource.name,
      source: 'measured' as const,
      emulated: peer.emulation !== undefined,
      ...(peer.emulation && { emulation: peer.emulation }),
      samples: [],
      measuredAt: new Date().toISOString(),
    }
  }

  async #store(link: Link): Promise<void> {
    const { state, log } = this.#parts
    const id = linkId(link.from, link.to)
    const stored = await state.links.update(id, (current) =>
      current?.source === 'override' ? current : link,
    )
    if (stored !== link) log.debug(`link ${id} is overridden; the measurement is not stored`)
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
