/**
 * How long the answers of one route take: a hop of one deployment on one peer. Each route has times of its own, because the
 * machine that answers one deployment within 5 ms may need seconds for another.
 *
 * It begins with what the plan expects and goes on with the answers themselves, as TCP does for its retransmissions (RFC
 * 6298): a smoothed time plus four deviations. Answers to larger inputs take longer, so every size has an estimate; a size that
 * never came is judged by its neighbours. A peer that was given up gets twice the time with its next request, so that one that
 * became slower is learnt, and not given up for ever.
 */

/** What the plan says about a route. */
export interface ExpectedTime {
  /** ms from sending the input to the answer, upper end. */
  highMs: number
  /** Bytes of that input; 0 if they are not known. */
  bytes: number
}

/** Least patience for each hop that is still to run: below it a busy machine would look like a lost one. */
const FLOOR_MS = 700
/** The same before the first answer: its first run may load a session on another thread, or connect. */
const COLD_FLOOR_MS = 2 * FLOOR_MS
/** Multiple of the plan's upper end that is waited for before there are answers. */
const START_FACTOR = 4
const DEVIATIONS = 4
/** Shares with which an answer changes the smoothed time and the deviation. */
const TIME_GAIN = 1 / 8
const DEVIATION_GAIN = 1 / 4
/** Silence of this multiple of the usual time is blamed, if the client's deadline ended the wait. */
const BLAMED_FACTOR = 3
/** Estimates per doubling of the size. */
const CLASSES_PER_DOUBLING = 2

/** ms; of one size of input. */
interface Estimate {
  bytes: number
  /** Undefined until the first answer. */
  smoothed: number | undefined
  deviation: number
  /** Least patience after a peer was given up; 0 since its last answer. */
  atLeast: number
}

export class AnswerTimes {
  readonly #expected: ExpectedTime
  readonly #hopsBehind: number
  readonly #sizes = new Map<number, Estimate>()

  /** @param hopsBehind hops that run before the answer, the peer included. */
  constructor(expected: ExpectedTime, hopsBehind = 1) {
    this.#expected = expected
    this.#hopsBehind = Math.max(1, hopsBehind)
  }

  /** Records an answer with a result. @param bytes of the input, before encoding. */
  answered(bytes: number, tookMs: number): void {
    const estimate = this.#of(bytes)
    const { smoothed, deviation, atLeast } = estimate
    // After it was given up, what was known before no longer counts.
    if (smoothed === undefined || atLeast > 0) {
      estimate.smoothed = tookMs
      estimate.deviation = tookMs / 2
    } else {
      estimate.deviation = deviation + DEVIATION_GAIN * (Math.abs(tookMs - smoothed) - deviation)
      estimate.smoothed = smoothed + TIME_GAIN * (tookMs - smoothed)
    }
    estimate.atLeast = 0
  }

  /** Records that no answer came. @param waitedMs of several requests that wait as long, only the first doubles the patience. */
  gaveUp(bytes: number, waitedMs: number): void {
    const estimate = this.#of(bytes)
    estimate.atLeast = Math.max(estimate.atLeast, 2 * waitedMs)
  }

  /** ms to wait for an answer if there is another way. */
  patienceMs(bytes: number): number {
    const estimate = this.#sizes.get(classOf(bytes))
    const atLeast = estimate?.atLeast ?? 0
    const floor = (this.#isCold ? COLD_FLOOR_MS : FLOOR_MS) * this.#hopsBehind
    return Math.max(atLeast, floor, this.#known(bytes) ?? START_FACTOR * this.#fromPlan(bytes))
  }

  /** ms that an answer takes at most, as a rule: what others have to wait for that come behind it. */
  usualMs(bytes: number): number {
    return this.#known(bytes) ?? this.#fromPlan(bytes)
  }

  /** True if silence of this length counts as a failure although the client's deadline ended the wait. */
  blamedFor(bytes: number, silenceMs: number): boolean {
    const smoothed = this.#sizes.get(classOf(bytes))?.smoothed ?? 0
    return silenceMs >= Math.min(this.patienceMs(bytes), this.#blamedMs(bytes, smoothed))
  }

  #blamedMs(bytes: number, smoothed: number): number {
    return this.#isCold ? Infinity : Math.max(this.usualMs(bytes), BLAMED_FACTOR * smoothed)
  }

  get #isCold(): boolean {
    for (const { smoothed } of this.#sizes.values()) if (smoothed !== undefined) return false
    return true
  }

  #of(bytes: number): Estimate {
    const size = classOf(bytes)
    const known = this.#sizes.get(size)
    if (known) return known
    const fresh = { bytes, smoothed: undefined, deviation: 0, atLeast: 0 }
    this.#sizes.set(size, fresh)
    return fresh
  }

  #known(bytes: number): number | undefined {
    const own = this.#sizes.get(classOf(bytes))
    return own?.smoothed === undefined ? this.#fromNeighbours(bytes) : boundOf(own)
  }

  /** A larger input takes at least as long; how much longer than a smaller one is not known: up to the square of the ratio. */
  #fromNeighbours(bytes: number): number | undefined {
    const known = [...this.#sizes.values()].filter(({ smoothed }) => smoothed !== undefined)
    const smaller = known.filter((one) => one.bytes <= bytes).sort((a, b) => b.bytes - a.bytes)[0]
    const larger = known.filter((one) => one.bytes > bytes).sort((a, b) => a.bytes - b.bytes)[0]
    const above = larger && boundOf(larger)
    if (!smaller) return above
    return Math.min(above ?? Infinity, boundOf(smaller) * grown(bytes, smaller.bytes))
  }

  #fromPlan(bytes: number): number {
    const { highMs, bytes: planned } = this.#expected
    return highMs * (planned > 0 && bytes > planned ? grown(bytes, planned) : 1)
  }
}

const boundOf = ({ smoothed = 0, deviation }: Estimate): number => smoothed + DEVIATIONS * deviation
const grown = (bytes: number, known: number): number => (bytes / Math.max(1, known)) ** 2
const classOf = (bytes: number): number => Math.floor(CLASSES_PER_DOUBLING * Math.log2(bytes + 1))
