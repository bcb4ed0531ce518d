/**
 * Every call of a peer goes through here: unless a breaker is open, the peer is called, with the patience that its answers
 * have earned; how the call ended is told to the breakers and to the times of the route.
 */
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import type { Peer } from '../registration/peers.ts'
import type { InferContext } from '../serving/models/target.ts'
import { blameOf } from './blame.ts'
import type { Admission, Breakers, KnownPeer } from './breaker.ts'
import { askToLoad, type ForwardOptions } from './forward.ts'
import type { Route } from './peer-routes.ts'

export interface CallDeps {
  breakers: Breakers
  forwarding: ForwardOptions
  log: Logger
}

/** How long a peer is waited for. */
export interface Patience {
  /** ms after which `more` is asked. */
  ms: number
  /** Longest wait in ms, whatever `more` says. The peer is told. */
  hardMs: number
  /** ms to wait once more; 0 = give up. */
  more: () => number
}

/** A request for a peer. */
export interface PeerRequest<T> {
  route: Route
  /** Of its tensors, before encoding. */
  bytes: number
  context: InferContext
  /** True if the request can be answered without this peer. */
  otherWay: boolean
  call: (patience: Patience) => Promise<T>
}

/**
 * Calls a peer unless its breaker is open.
 * @throws ScissionError peerUnavailable with `details.refused` if the peer was not called; else what `call` throws.
 */
export async function throughBreaker<T>(deps: CallDeps, peer: Peer, request: PeerRequest<T>): Promise<T> {
  const known = deps.breakers.of(peer)
  const { route, otherWay } = request
  const admission = admit(known, route, otherWay)
  if (admission === 'probe') probe(deps, peer, known, route)
  if (admission !== 'call') throw notCalled(peer, known, route)
  return new TimedCall(deps, peer, known, request).run()
}

/** Without another way, a route that fails is tried with every request: some of them may be at fault themselves. */
function admit({ breaker }: KnownPeer, { breaker: ofRoute }: Route, otherWay: boolean): Admission {
  const first = otherWay ? ofRoute.admit(true) : 'call'
  if (first !== 'call') return first
  const admission = breaker.admit(otherWay)
  if (admission !== 'call') ofRoute.undecided()
  return admission
}

/** Timers may be this much too early. */
const TIMER_MS = 5

class TimedCall<T> {
  readonly #deps: CallDeps
  readonly #peer: Peer
  readonly #known: KnownPeer
  readonly #request: PeerRequest<T>
  readonly #sentAt = performance.now()
  /** ms that its own answer may take, and that the calls before it may. */
  readonly #ownMs: number
  readonly #behindMs: number
  /** True after the peer was silent for so long. */
  #isExhausted = false

  constructor(deps: CallDeps, peer: Peer, known: KnownPeer, request: PeerRequest<T>) {
    this.#deps = deps
    this.#peer = peer
    this.#known = known
    this.#request = request
    const { route, bytes } = request
    this.#ownMs = route.times.patienceMs(bytes)
    this.#behindMs = known.calls.longestMs()
  }

  async run(): Promise<T> {
    const { call, route, bytes } = this.#request
    const { breaker, calls } = this.#known
    const end = calls.begin(route.times.usualMs(bytes))
    try {
      const result = await call(this.#patience())
      calls.answered()
      breaker.answered()
      route.breaker.answered()
      route.times.answered(bytes, performance.now() - this.#sentAt)
      return result
    } catch (error) {
      this.#failed(error)
      throw error
    } finally {
      end()
    }
  }

  /** If there is another way, half of the client's remaining time is kept for it. */
  #patience(): Patience {
    const { otherWay, context } = this.#request
    const limitMs = this.#deps.forwarding.hopTimeoutMs
    if (!otherWay) return { ms: limitMs, hardMs: limitMs, more: () => 0 }
    const half = context.deadline === undefined ? limitMs : (context.deadline - performance.now()) / 2
    const hardMs = Math.max(1, Math.min(half, limitMs))
    const patienceMs = this.#ownMs + this.#behindMs
    const more = () => {
      const waitedMs = performance.now() - this.#sentAt
      // As long as the peer answers others, this one waits in its queue.
      const leftMs = Math.max(patienceMs - waitedMs, this.#known.calls.leftOf(patienceMs))
      this.#isExhausted = leftMs < TIMER_MS
      return this.#isExhausted ? 0 : Math.min(leftMs, hardMs - waitedMs)
    }
    return { ms: Math.min(patienceMs, hardMs), hardMs, more }
  }

  #failed(error: unknown): void {
    const { breaker, calls } = this.#known
    const { route } = this.#request
    const blame = blameOf(error)
    const reason = error instanceof Error ? error.message : String(error)
    if (blame === 'nobody') return this.#undecided()
    if (blame === 'silence') return this.#silent(reason)
    if (blame === 'peer') {
      route.breaker.undecided()
      return breaker.failed(reason)
    }
    calls.answered()
    breaker.answered()
    if (blame === 'request') return route.breaker.answered()
    if (blame === 'refusal') return route.breaker.undecided()
    // A hop that ran out of a client's short time has not failed.
    if (isLate(error) && !this.#isBlamed()) return route.breaker.undecided()
    route.breaker.failed(reason)
  }

  #silent(reason: string): void {
    const { breaker, calls } = this.#known
    const { route, bytes } = this.#request
    if (!this.#isBlamed()) return this.#undecided()
    const lives = calls.answeredSince(this.#sentAt)
    if (!lives) route.breaker.undecided()
    const blamed = lives ? route.breaker : breaker
    if (!this.#isExhausted) return blamed.failed(reason)
    route.times.gaveUp(bytes, this.#ownMs)
    blamed.suspect(reason)
    probe(this.#deps, this.#peer, this.#known, route)
  }

  #isBlamed(): boolean {
    const { route, bytes } = this.#request
    const silentMs = performance.now() - this.#sentAt
    if (this.#isExhausted || silentMs >= this.#deps.forwarding.hopTimeoutMs - TIMER_MS) return true
    return route.times.blamedFor(bytes, silentMs - this.#behindMs)
  }

  #undecided(): void {
    this.#known.breaker.undecided()
    this.#request.route.breaker.undecided()
  }
}

/** Asks a peer in the background, not by a request, whether it is reachable and has the deployment loaded. */
function probe({ forwarding, log }: CallDeps, peer: Peer, known: KnownPeer, route: Route): void {
  const { breaker, calls } = known
  const lives = () => {
    calls.answered()
    breaker.probed()
  }
  askToLoad(forwarding, peer, route.deployment).then(
    () => {
      lives()
      route.breaker.probed()
      log.info(`${peer.resource.name} answers: requests for ${route.deployment} go there again`)
    },
    (error: unknown) => {
      const reason = error instanceof Error ? error.message : String(error)
      const blame = blameOf(error)
      if (blame === 'peer' || blame === 'silence') return breaker.failed(reason)
      lives()
      route.breaker.failed(reason)
    },
  )
}

const isLate = (error: unknown) => error instanceof ScissionError && error.code === 'deadlineExceeded'

function notCalled({ resource: { name } }: Peer, { breaker }: KnownPeer, route: Route): ScissionError {
  const reason = breaker.state === 'closed' ? route.breaker.reason : breaker.reason
  return new ScissionError(
    'peerUnavailable',
    `hop ${name} is left alone after several failures, the last: ${reason}`,
    { resource: name, refused: true },
  )
}
