/**
 * Circuit breakers: they remember from past requests whether a peer serves.
 *
 *   closed ──(failures in a row)──▶ open ──(after RETRY_MS)──▶ one trial ──answered──▶ closed
 *      ▲                             ▲                            │  ▲
 *      └── another start of the peer └──────────failed────────────┘  └──(silence)── closed
 *
 * Nothing runs on a timer: a peer without requests is not probed. If a request can be answered without the peer, the trial
 * is a probe in the background, and only after it succeeded a request is sent.
 *
 * A peer has one breaker, which opens if it cannot be reached. Each route to it (a hop of a deployment) has another, which
 * opens if the peer answers but fails at this deployment: others go on there. What a failure says is decided in blame.ts.
 *
 * It is our own because breaker libraries (e.g. opossum) decide by error rates in time windows and use real requests as
 * trials; here three failures in a row of single requests have to switch to the fallback, and a probe replaces the trial.
 * Measured by `npm run bench -- serve`: after a killed edge the fallback answers within 39 to 66 ms, the edge is used again
 * 0.31 to 0.60 s after its return, and no request is lost.
 */
import type { Peer } from '../registration/peers.ts'
import { PeerCalls } from './peer-calls.ts'

/** Failures in a row that open the breaker. With fewer, a single lost connection would. */
const MAX_FAILURE_COUNT = 3
/** ms between trials. A peer that returns is used again after this time, one probe and the next request. */
const RETRY_MS = 500

/** `call`: send the request. `probe`: do not send it, but probe whether the peer is back. `refuse`: do not send it. */
export type Admission = 'call' | 'probe' | 'refuse'

export interface BreakerOptions {
  /** ms of a monotonic clock. */
  now?: () => number
  /** Called once when it opens, and once when it closes. */
  onTurn?: (open: boolean, reason: string) => void
}

export class Breaker {
  readonly #now: () => number
  readonly #onTurn: (open: boolean, reason: string) => void
  #state: 'closed' | 'open' | 'probed' | 'trial' = 'closed'
  #failuresInARow = 0
  #triedAt = 0
  #reason = ''
  #reported = false

  constructor({ now = () => performance.now(), onTurn = () => undefined }: BreakerOptions = {}) {
    this.#now = now
    this.#onTurn = onTurn
  }

  get state(): 'closed' | 'open' | 'half-open' {
    if (this.#state === 'closed' || this.#state === 'open') return this.#state
    return 'half-open'
  }

  /** True if `onTurn` said that it is open. */
  get isReported(): boolean {
    return this.#reported
  }

  /** The reason of the last failure. */
  get reason(): string {
    return this.#reason
  }

  /** Decides about a request. @param otherWay true if the request can be answered without this peer. */
  admit(otherWay: boolean): Admission {
    if (this.#state === 'closed') return 'call'
    if (this.#state === 'probed') return this.#try('call')
    if (this.#now() - this.#triedAt < RETRY_MS) return 'refuse'
    // No answer to the last trial, and none in time: it is open, even if that was never said.
    this.#report(true)
    return this.#try(otherWay ? 'probe' : 'call')
  }

  /** Records an answer to a request. */
  answered(): void {
    this.#failuresInARow = 0
    this.#state = 'closed'
    this.#report(false)
  }

  /** Records an answer to a probe: the next request may go there. */
  probed(): void {
    this.#failuresInARow = 0
    if (this.#state !== 'closed') this.#state = 'probed'
  }

  failed(reason: string): void {
    this.#reason = reason
    this.#failuresInARow += 1
    if (this.#state === 'closed' && this.#failuresInARow < MAX_FAILURE_COUNT) return
    this.#open()
  }

  /**
   * Records a peer that was given up after the time that its answers take. The next requests would wait as long, so they take
   * the other way until a probe, which the caller sends, tells whether the peer is gone or only slow.
   */
  suspect(reason: string): void {
    this.#reason = reason
    this.#failuresInARow += 1
    this.#try('probe')
  }

  /** Records a trial without a result: the client left, or its deadline passed. */
  undecided(): void {
    if (this.#state === 'trial') this.#state = 'open'
  }

  #open(): void {
    this.#state = 'open'
    this.#triedAt = this.#now()
    this.#report(true)
  }

  #report(open: boolean): void {
    if (this.#reported === open) return
    this.#reported = open
    this.#onTurn(open, this.#reason)
  }

  #try(how: 'call' | 'probe'): Admission {
    this.#state = 'trial'
    this.#triedAt = this.#now()
    return how
  }
}

/** What is known of a peer since its start. */
export interface KnownPeer {
  breaker: Breaker
  calls: PeerCalls
}

/** One for each start of a peer: what was known of a peer does not hold for it after a restart. */
export class Breakers {
  readonly #known = new Map<string, KnownPeer & { start: string }>()
  readonly #onTurn: (peer: string, open: boolean, reason: string) => void

  /** @param onTurn called once when the breaker of a peer opens, and once when it closes or the peer started anew. */
  constructor(onTurn: (peer: string, open: boolean, reason: string) => void = () => undefined) {
    this.#onTurn = onTurn
  }

  of(peer: Peer): KnownPeer {
    const { name } = peer.resource
    const start = startOf(peer)
    const known = this.#known.get(name)
    if (known?.start === start) return known
    if (known?.breaker.isReported) this.#onTurn(name, false, 'it started anew')
    const onTurn = (open: boolean, reason: string) => {
      // Calls of its former start may still end.
      if (this.#known.get(name)?.start === start) this.#onTurn(name, open, reason)
    }
    const fresh = { start, breaker: new Breaker({ onTurn }), calls: new PeerCalls() }
    this.#known.set(name, fresh)
    return fresh
  }

  /** Names of peers whose breakers are not closed. */
  open(): string[] {
    return [...this.#known].filter(([, { breaker }]) => breaker.state !== 'closed').map(([name]) => name)
  }
}

/** Tells a start of a peer from others. */
export const startOf = ({ resource, url }: Peer): string => `${resource.startedAt} ${url}`
