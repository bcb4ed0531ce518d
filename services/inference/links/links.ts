/**
 * Measures the links from this resource to the resources of later tiers: with probes when a peer appears and on request,
 * then from the messages that cross them (`observe`). Every `linkIntervalMs` the links without recent traffic are probed
 * again. Measurements run one at a time, so that they do not share a link; a request for a link that is being measured
 * waits for that measurement. Of a link that was overridden by hand the figures wait beneath the override.
 */
import { hasFigures, withFigures } from '../../../shared/contracts/link-override.ts'
import type { Link } from '../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { Change } from '../../../shared/platform/redis/changes.ts'
import { linkId, type State } from '../../../shared/platform/redis/state.ts'
import type { Observation } from '../../../shared/platform/transfer-times.ts'
import type { Peer, Peers } from '../registration/peers.ts'
import type { WrongMachines } from '../registration/wrong-machines.ts'
import { published } from './estimate-link.ts'
import { Freshness } from './freshness.ts'
import { LargestTensors } from './largest-tensors.ts'
import { type LinkMeasurement, measureLink } from './measure-link.ts'
import { pingSeries } from './ping-series.ts'

export interface LinkDeps {
  resource: string
  tierIndex: number
  state: State
  peers: Peers
  linkIntervalMs: number
  /** Absent = who answers is not looked at again. */
  wrongMachines?: Pick<WrongMachines, 'look'>
  log: Logger
  /** For tests. @defaultValue with probes */
  measureLink?: typeof measureLink
}

/** Time after which a failed measurement is repeated while the peer is alive. */
const RETRY_MS = 10_000
/** One that shows the stops of a quota of CPU time instead of the link is repeated so often: later the machine has less to do. */
const MOST_REPEATS = 5

interface Attempt {
  at: number
  measured: boolean
  /** How many measurements before showed stops. */
  repeats: number
}

export class Links {
  readonly #deps: LinkDeps
  readonly #measureLink: typeof measureLink
  readonly #underWay = new Map<string, Promise<Link>>()
  /** Time and outcome of the last measurement by peer. */
  readonly #tried = new Map<string, Attempt>()
  /** What was stored last, by id of the link, to write it back if Redis loses it. */
  readonly #stored = new Map<string, Link>()
  readonly #freshness: Freshness
  readonly #largest: LargestTensors
  #queue: Promise<unknown> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #closed = false
  #stopped = false

  constructor(deps: LinkDeps) {
    this.#deps = deps
    this.#measureLink = deps.measureLink ?? measureLink
    this.#freshness = new Freshness(deps.linkIntervalMs)
    this.#largest = new LargestTensors(deps.state, deps.log)
  }

  start(): void {
    const stale = (peer: Peer) => this.#freshness.isStale(peer.resource.name, performance.now())
    this.#stopped = false
    clearInterval(this.#timer)
    this.#timer = setInterval(() => this.#background(stale), this.#deps.linkIntervalMs)
    this.#background((peer) => this.#isDue(peer.resource.name))
  }

  /** Until it is started again nothing is measured or stored. */
  stop(): void {
    this.#stopped = true
    clearInterval(this.#timer)
    this.#timer = undefined
  }

  /** Updates the figures of a link from a request that `to` answered. Never throws, never waits. */
  observe(to: Peer, observation: Observation): void {
    const { name } = to.resource
    const seen = this.#freshness.observe(name, observation, performance.now())
    if (this.#closed || this.#stopped) return
    if (this.#freshness.wantsPings(name, performance.now())) void this.#ping(to)
    if (!seen) return
    this.#store({ ...this.#identity(to), ...published(seen.figures), basis: seen.basis }).catch(
      (error: unknown) =>
        this.#deps.log.debug({ err: coerceError(error) }, `the link to ${name} was not updated`),
    )
  }

  /**
   * Measures links now.
   * @param to names of resources. @defaultValue every alive resource of a later tier
   * @throws ScissionError notFound if one of `to` is not alive in a later tier; peerUnavailable if one cannot be reached.
   */
  async measure(to?: readonly string[]): Promise<Link[]> {
    const peers = await this.#deps.peers.later(this.#deps.tierIndex)
    const chosen = to === undefined ? peers : to.map((name) => choose(peers, name))
    return Promise.all(chosen.map((peer) => this.#measureOne(peer)))
  }

  onChange(change: Change): void {
    this.#largest.onChange(change)
    if (change.kind === 'links' && change.id.startsWith(linkId(this.#deps.resource, '')))
      void this.#follow(change.id)
    if (change.kind !== 'resources' || change.id === this.#deps.resource) return
    if (this.#isDue(change.id)) this.#background((peer) => this.#isDue(peer.resource.name))
  }

  onResync(): void {
    this.#largest.onResync()
    this.#background((peer) => this.#isDue(peer.resource.name))
  }

  /** Writes the links from here back to a Redis that has lost them. @returns how many were missing. */
  async restore(): Promise<number> {
    let count = 0
    for (const [id, link] of this.#stored) {
      const isOlder = (current: Link) => current.measuredAt < link.measuredAt
      if (await this.#deps.state.links.restore(id, link, isOlder)) count += 1
    }
    return count
  }

  close(): void {
    this.#closed = true
    this.stop()
  }

  /** Remembers what is on record of a link from here; one that somebody deleted is measured at once. Never throws. */
  async #follow(id: string): Promise<void> {
    try {
      const { links, memory } = this.#deps.state
      const link = await links.find(id)
      if (link) this.#stored.set(id, link)
      else if (!(await memory.isInDoubt('links', id)) && this.#stored.delete(id))
        this.#background(({ resource }) => linkId(this.#deps.resource, resource.name) === id)
    } catch (error) {
      this.#deps.log.debug({ err: coerceError(error) }, `could not read the link ${id} from Redis`)
    }
  }

  /** True if the link has not been measured and was not tried recently: every heartbeat of a peer asks. */
  #isDue(name: string): boolean {
    const last = this.#tried.get(name)
    return !last || (!last.measured && performance.now() - last.at >= RETRY_MS)
  }

  #background(wanted: (peer: Peer) => boolean): void {
    if (this.#timer === undefined) return
    this.#measureWanted(wanted).catch((error: unknown) =>
      // At debug level: the connection logs once that Redis is away.
      this.#deps.log.debug({ err: coerceError(error) }, 'could not read the resources from Redis'),
    )
  }

  async #measureWanted(wanted: (peer: Peer) => boolean): Promise<void> {
    const peers = (await this.#deps.peers.later(this.#deps.tierIndex)).filter(wanted)
    const outcomes = await Promise.allSettled(peers.map((peer) => this.#measureOne(peer)))
    for (const outcome of outcomes) {
      if (outcome.status === 'fulfilled' || this.#closed) continue
      const error = coerceError(outcome.reason)
      // A condition has said so already.
      const isTold = error instanceof ScissionError && error.details?.['instead'] !== undefined
      this.#deps.log[isTold ? 'debug' : 'warn']({ err: error }, error.message)
    }
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
    const { name } = peer.resource
    const before = this.#tried.get(name)
    const attempt = { at: performance.now(), measured: false, repeats: before?.repeats ?? 0 }
    this.#tried.set(name, attempt)
    const { figures, probes, samples, own, stopped } = await this.#measureIt(peer)
    attempt.repeats = stopped ? attempt.repeats + 1 : 0
    attempt.measured = !stopped || attempt.repeats > MOST_REPEATS
    if (stopped) this.#deps.log.warn(stoppedText(name, attempt.measured))
    if (this.#stopped) throw new ScissionError('cancelled', 'another service has the name of this one')
    const found = { ...this.#identity(peer), ...published(figures), basis: { probes, traffic: 0 }, samples }
    // What is known is worth more.
    if (stopped && hasFigures(this.#stored.get(linkId(found.from, found.to)))) return this.#dated(found)
    this.#freshness.probed(name, figures, probes, own, performance.now())
    const link = await this.#store(found)
    this.#deps.log.info(
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

  /** @throws ScissionError, which says who answered if it is another machine: that is no measurement. */
  async #measureIt(peer: Peer): Promise<LinkMeasurement> {
    const { wrongMachines } = this.#deps
    let measured: LinkMeasurement
    try {
      measured = await this.#measureLink(peer, this.#largest.bytes)
    } catch (error) {
      throw (await wrongMachines?.look(peer)) ?? error
    }
    // Its answers do not say who sent them: an earlier version, or what is no service of this product.
    const wrong = measured.untold ? await wrongMachines?.look(peer) : undefined
    if (wrong) throw wrong
    return measured
  }

  /** Never throws: without pings the messages still tell something. */
  async #ping(to: Peer): Promise<void> {
    const { name } = to.resource
    try {
      this.#freshness.pinged(name, await pingSeries(to), performance.now())
    } catch (error) {
      this.#deps.log.debug({ err: coerceError(error) }, `${name} was not pinged`)
    }
  }

  #identity(peer: Peer) {
    return {
      from: this.#deps.resource,
      to: peer.resource.name,
      source: 'measured' as const,
      emulated: peer.emulation !== undefined,
      ...(peer.emulation && { emulation: peer.emulation }),
      samples: [],
    }
  }

  async #dated(found: Omit<Link, 'measuredAt'>): Promise<Link> {
    return { ...found, measuredAt: new Date(await this.#deps.state.clock.read()).toISOString() }
  }

  async #store(found: Omit<Link, 'measuredAt'>): Promise<Link> {
    const { state, log } = this.#deps
    const link = await this.#dated(found)
    const id = linkId(link.from, link.to)
    const stored = await state.links.update(id, (current) => withFigures(current, link))
    if (stored) this.#stored.set(id, stored)
    if (stored !== link) log.debug(`link ${id} is overridden; what was measured waits beneath`)
    return link
  }
}

const stoppedText = (name: string, isLast: boolean) =>
  `the link to ${name} is hardly known: quotas of CPU time stopped the machines while it was measured; ` +
  (isLast
    ? 'measure it when they have less to do: POST /v1/links/measure'
    : `it is measured again in ${RETRY_MS / 1000} s`)

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
