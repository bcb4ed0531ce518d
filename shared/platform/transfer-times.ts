/**
 * Timing of messages by their sender and receiver: link figures are kept fresh with it, without extra probes.
 * The receiver of a request reports its times in the standard `Server-Timing` header of its answer:
 *
 *   Server-Timing: work;dur=12.3, body;bytes=140000;slope=0.4237;late=0.21, stops;count=3
 *
 * work: ms from the last byte of the request to the first of the answer; body: bytes of the request's body that came
 * after its first piece, the ms that a thousand of them took, and the ms by which pieces read late may have changed how long
 * all of them seem to take; stops, in answers to probes of a machine with a quota of CPU time: how often it was used up so far.
 */

import { mean } from './statistics.ts'

/** Arrival of a body. */
export interface Arrival {
  /** Bytes after the first piece. */
  restBytes: number
  /** ms per byte: slope of the line below the pieces; 0 with a single piece. */
  slope: number
  /** ms by which pieces that were read late may have changed `restBytes × slope`: how much the reader was disturbed. */
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

/** More pieces of one body are not kept: every other is dropped, which leaves as good a line. */
const MAX_PIECES = 4096

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
 *
 * The line lies on two pieces, and is as sure as the others agree with them: it is fitted again without each of the two. A
 * reader that was in time has pieces near the line on all of its length, so that it hardly turns. One that was away for most of
 * the body has two or three pieces, through which a line always goes, however late they are.
 */
export class ArrivalClock {
  #points: Point[] = []
  #bytes = 0

  /** @param now ms at which so many bytes were read. */
  add(bytes: number, now: number): void {
    this.#bytes += bytes
    const last = this.#points.at(-1)
    if (last && now - last.ms < TOGETHER_MS) last.bytes = this.#bytes
    else this.#points.push({ bytes: this.#bytes, ms: now })
    if (this.#points.length > MAX_PIECES) this.#points = this.#points.filter((_, at) => at % 2 === 0)
  }

  get arrival(): Arrival {
    const restBytes = this.#bytes - (this.#points[0]?.bytes ?? 0)
    const line = lineBelow(this.#points)
    if (!line) return { restBytes, slope: 0, lateMs: 0 }
    const turns = [line.from, line.to].map((held) => {
      const without = lineBelow(this.#points.filter((point) => point !== held))
      // Of two pieces nothing is left that could agree.
      return Math.abs(line.slope - (without?.slope ?? 0))
    })
    return { restBytes, slope: Math.max(0, line.slope), lateMs: restBytes * Math.max(...turns) }
  }
}

/** The line below all points that is closest to them: the edge of their lower hull at their mean size. */
function lineBelow(points: readonly Point[]): { from: Point; to: Point; slope: number } | undefined {
  const hull: Point[] = []
  for (const point of points) extend(hull, point)
  const middle = mean(points.map(({ bytes }) => bytes))
  const at = Math.max(
    1,
    hull.findIndex(({ bytes }) => bytes >= middle),
  )
  const [from, to] = [hull[at - 1], hull[at]]
  return from && to && { from, to, slope: (to.ms - from.ms) / (to.bytes - from.bytes) }
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

export function writeServerTiming(
  workMs: number,
  { restBytes, slope, lateMs }: Arrival,
  stops?: number,
): string {
  const body = `bytes=${restBytes};slope=${(slope * 1000).toFixed(6)};late=${lateMs.toFixed(3)}`
  const told = stops === undefined ? '' : `, stops;count=${stops}`
  return `work;dur=${workMs.toFixed(3)}, body;${body}${told}`
}

/** What the receiver of a request tells of it. */
export interface Told extends Arrival {
  workMs: number
  /** How often its quota of CPU time was used up; undefined without one. */
  stops?: number
}

/** @returns undefined if the header is missing or has other metrics. */
export function readServerTiming(header: string | string[] | undefined): Told | undefined {
  const text = Array.isArray(header) ? header.join(', ') : (header ?? '')
  const work = /\bwork;dur=(\d{1,12}(?:\.\d{1,6})?)/.exec(text)
  const body = /\bbody;bytes=(\d{1,15});slope=(\d{1,12}(?:\.\d{1,9})?);late=(\d{1,12}(?:\.\d{1,6})?)/.exec(
    text,
  )
  if (!work || !body) return undefined
  const [, bytes, slope, late] = body
  const [, stops] = /\bstops;count=(\d{1,15})/.exec(text) ?? []
  return {
    workMs: Number(work[1]),
    restBytes: Number(bytes),
    slope: Number(slope) / 1000,
    lateMs: Number(late),
    ...(stops !== undefined && { stops: Number(stops) }),
  }
}
