/**
 * Timing of messages by their sender and receiver: link figures are kept fresh with it, without extra probes.
 * The receiver of a request reports its times in the standard `Server-Timing` header of its answer:
 *
 *   Server-Timing: work;dur=12.3, body;bytes=140000;slope=0.4237;late=0.21
 *
 * work: ms from the last byte of the request to the first of the answer; body: bytes of the request's body that came
 * after its first piece, the ms that a thousand of them took, and the ms that a piece was read late on average.
 */

/** Arrival of a body. */
export interface Arrival {
  /** Bytes after the first piece. */
  restBytes: number
  /** ms per byte: slope of the line below the pieces; 0 with a single piece. */
  slope: number
  /** ms that a piece was read after that line, on average: how much the reader was disturbed. */
  lateMs: number
}

/** Transfer of one message. */
export interface TransferTimes extends Arrival {
  /** Size of the whole message, its head included. */
  bytes: number
}

/** One answered request, as timed by its sender. */
export interface Observation {
  sent: TransferTimes
  received: TransferTimes
  /** ms from the first byte sent to the last byte received. */
  wireMs: number
  /** The same plus the time in which the sender writes and parses the messages. */
  totalMs: number
  /** ms that the peer took between the last byte it received and the first it sent. */
  workMs: number
}

/** Pieces that are read within this many ms of each other waited together to be read: they are one piece. */
const TOGETHER_MS = 0.1

interface Point {
  bytes: number
  ms: number
}

/**
 * Fits the arrival of one body, piece by piece. A piece can be read later than it came, if the reader had no core or was busy,
 * but never earlier. So the line of arrivals is the one below all pieces that is closest to them: no delay of the reader can
 * move it while a few pieces on either side were read in time. (The line of least total distance below points: S. Moon, P.
 * Skelly, D. Towsley, Estimation and removal of clock skew from network delay measurements, INFOCOM 1999.) A least-squares
 * line, which the delays move, was off by 3 to 50 % on a busy machine.
 */
export class ArrivalClock {
  #first: Point | undefined
  #last: Point = { bytes: 0, ms: 0 }
  /** Lower convex hull of the pieces before the last; only its edges can be the line. */
  readonly #hull: Point[] = []
  #count = 0
  #sumBytes = 0
  #sumMs = 0

  /** @param now ms at which so many bytes were read. */
  add(bytes: number, now: number): void {
    const last = { bytes: this.#last.bytes + bytes, ms: now }
    const isTogether = this.#first !== undefined && now - this.#last.ms < TOGETHER_MS
    if (isTogether) last.ms = this.#last.ms
    else if (this.#first) this.#settle(this.#last)
    this.#last = last
    if (this.#count === 0) this.#first = last
  }

  get arrival(): Arrival {
    const first = this.#first ?? this.#last
    const restBytes = this.#last.bytes - first.bytes
    if (restBytes === 0) return { restBytes, slope: 0, lateMs: 0 }
    const hull = [...this.#hull]
    extend(hull, this.#last)
    const bytes = (this.#sumBytes + this.#last.bytes) / (this.#count + 1)
    const meanMs = (this.#sumMs + this.#last.ms) / (this.#count + 1)
    const at = Math.max(
      1,
      hull.findIndex((point) => point.bytes >= bytes),
    )
    const [from, to] = [hull[at - 1] ?? first, hull[at] ?? this.#last]
    const slope = Math.max(0, (to.ms - from.ms) / (to.bytes - from.bytes))
    return { restBytes, slope, lateMs: Math.max(0, meanMs - from.ms - slope * (bytes - from.bytes)) }
  }

  #settle(point: Point): void {
    this.#count += 1
    this.#sumBytes += point.bytes
    this.#sumMs += point.ms
    extend(this.#hull, point)
  }
}

/** Adds a point to the right of a lower convex hull (A. Andrew, Information Processing Letters 9, 1979). */
function extend(hull: Point[], point: Point): void {
  for (;;) {
    const [a, b] = hull.slice(-2)
    if (!a || !b) break
    if ((b.ms - a.ms) * (point.bytes - a.bytes) < (point.ms - a.ms) * (b.bytes - a.bytes)) break
    hull.pop()
  }
  hull.push(point)
}

export const SERVER_TIMING = 'Server-Timing'

export function writeServerTiming(workMs: number, { restBytes, slope, lateMs }: Arrival): string {
  const body = `bytes=${restBytes};slope=${(slope * 1000).toFixed(6)};late=${lateMs.toFixed(3)}`
  return `work;dur=${workMs.toFixed(3)}, body;${body}`
}

/** @returns undefined if the header is missing or has other metrics. */
export function readServerTiming(
  header: string | string[] | undefined,
): (Arrival & { workMs: number }) | undefined {
  const text = Array.isArray(header) ? header.join(', ') : (header ?? '')
  const work = /\bwork;dur=(\d{1,12}(?:\.\d{1,6})?)/.exec(text)
  const body = /\bbody;bytes=(\d{1,15});slope=(\d{1,12}(?:\.\d{1,9})?);late=(\d{1,12}(?:\.\d{1,6})?)/.exec(
    text,
  )
  if (!work || !body) return undefined
  const [, bytes, slope, late] = body
  return {
    workMs: Number(work[1]),
    restBytes: Number(bytes),
    slope: Number(slope) / 1000,
    lateMs: Number(late),
  }
}
