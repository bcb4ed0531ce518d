/**
 * Circuit breakers: what this resource has learnt about its peers from the requests it sent them.
 *
 *   closed ──(FAILURES in a row)──▶ open ──(after RETRY_MS)──▶ one trial ──answered──▶ closed
 *      ▲                             ▲                            │
 *      └── another start of the peer └──────────failed────────────┘
 *
 * Nothing here runs on a timer: a peer that nobody wants is not asked. Where a request can be answered without the
 * peer, the trial is a probe behind its back, and only after that a request is spent on it.
 */
import type { Peer } from '../registration/peers.ts'

/** Fewer would let one lost connection close a road; a dead peer is found out by the first three requests. */
const FAILURES = 3
/** Between trials. A peer that returns is used again within this, a probe and the next request. */
const RETRY_MS = 500
/** Answers remembered to know what is slow. */
const REMEMBERED = 32
const MIN_ANSWER_COUNT = 4
/** Where there is another way, a peer is waited for this many times its slowest recent answer, and no less than this. */
const SLOW_FACTOR = 20
const MIN_PATIENCE_MS = 700
/** A client's own deadline may end the wait earlier: that tells against the peer from this many times on. */
const BLAMED_FACTOR = 3

/** `call`: send it. `probe`: do not, but find out whether the peer is back. `refuse`: do not. */
export type Admission = 'call' | 'probe' | 'refuse'

export class Breaker {
  readonly #now: () => number
  readonly #answersMs: number[] = []
  #state: 'closed' | 'open' | 'probed' | 'trial' = 'closed'
  #inARow = 0
  #triedAt = 0
  #reason = ''

  /** @param now milliseconds of a clock that does not go back. */
  constructor(now: () => number = () => performance.now()) {
    this.#now = now
  }

  get state(): 'closed' | 'open' | 'half-open' {
    if (this.#state === 'closed' || this.#state === 'open') return this.#state
    return 'half-open'
  }

  /** What the last failure was. */
  get reason(): string {
    return this.#reason
  }

  /** @param otherWay the request can be answered without this peer. */
  admit(otherWay: boolean): Admission {
    if (this.#state === 'closed') return 'call'
    if (this.#state === 'probed') return this.#try('call')
    if (this.#now() - this.#triedAt < RETRY_MS) return 'refuse'
    return this.#try(otherWay ? 'probe' : 'call')
  }

  /** @param tookMs from sending to the answer; undefined when it was a probe. */
  answered(tookMs: number | undefined): void {
    this.#inARow = 0
    if (tookMs === undefined) {
      if (this.#state !== 'closed') this.#state = 'probed'
      return
    }
    this.#state = 'closed'
    this.#answersMs.push(tookMs)
    if (this.#answersMs.length > REMEMBERED) this.#answersMs.shift()
  }

  failed(reason: string): void {
    this.#reason = reason
    this.#inARow += 1
    if (this.#state === 'closed' && this.#inARow < FAILURES) return
    this.#state = 'open'
    this.#triedAt = this.#now()
  }

  /** The trial ended without a verdict: the client left, or its time was up. */
  undecided(): void {
    if (this.#state === 'trial') this.#state = 'open'
  }

  /** How long to wait for an answer where there is another way. @param limitMs the most. */
  patienceMs(limitMs: number): number {
    if (this.#answersMs.length < MIN_ANSWER_COUNT) return limitMs
    return Math.min(limitMs, Math.max(MIN_PATIENCE_MS, SLOW_FACTOR * this.#slowestMs()))
  }

  /** Silence of this length tells against the peer, though it may be the client that had no more time. */
  blamedFor(silenceMs: number, limitMs: number): boolean {
    if (silenceMs >= this.patienceMs(limitMs)) return true
    return this.#answersMs.length >= MIN_ANSWER_COUNT && silenceMs >= BLAMED_FACTOR * this.#slowestMs()
  }

  #slowestMs(): number {
    return Math.max(...this.#answersMs)
  }

  #try(how: 'call' | 'probe'): Admission {
    this.#state = 'trial'
    this.#triedAt = this.#now()
    return how
  }
}

/** One breaker per start of a peer: a peer that was started anew is a new one. */
export class Breakers {
  readonly #known = new Map<string, { start: string; breaker: Breaker }>()

  of({ resource, url }: Peer): Breaker {
    const start = `${resource.startedAt} ${url}`
    const known = this.#known.get(resource.name)
    if (known?.start === start) return known.breaker
    const breaker = new Breaker()
    this.#known.set(resource.name, { start, breaker })
    return breaker
  }

  /** Those that were called and are not closed. */
  open(): string[] {
    return [...this.#known].filter(([, { breaker }]) => breaker.state !== 'closed').map(([name]) => name)
  }
}
