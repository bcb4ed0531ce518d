/**
 * Timing of messages by their sender and receiver: link figures are kept fresh with it, without extra probes.
 * The receiver of a request reports its times in the standard `Server-Timing` header of its answer:
 *
 *   Server-Timing: work;dur=12.3, body;bytes=140000;slope=0.4237
 *
 * work: ms from the last byte of the request to the first of the answer; body: bytes of the request's body that came
 * after its first piece, and the ms that a thousand of them took.
 */

/** Arrival of a body. */
export interface Arrival {
  /** Bytes after the first piece. */
  restBytes: number
  /** ms per byte: slope of the least-squares line through all pieces; 0 with a single piece. */
  slope: number
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

/** Fits the arrival of one body, piece by piece. */
export class ArrivalClock {
  #pieces = 0
  #firstAt = 0
  #bytes = 0
  /** Running means and co-moments of bytes and ms since the first piece (Welford, Technometrics 4, 1962). */
  #meanBytes = 0
  #meanMs = 0
  #covariance = 0
  #variance = 0

  add(bytes: number, now: number): void {
    if (this.#pieces === 0) this.#firstAt = now
    else this.#bytes += bytes
    this.#pieces += 1
    const fromBytes = this.#bytes - this.#meanBytes
    this.#meanBytes += fromBytes / this.#pieces
    this.#meanMs += (now - this.#firstAt - this.#meanMs) / this.#pieces
    this.#covariance += fromBytes * (now - this.#firstAt - this.#meanMs)
    this.#variance += fromBytes * (this.#bytes - this.#meanBytes)
  }

  get arrival(): Arrival {
    const slope = this.#variance > 0 ? this.#covariance / this.#variance : 0
    return { restBytes: this.#bytes, slope: Math.max(0, slope) }
  }
}

export const SERVER_TIMING = 'Server-Timing'

export function writeServerTiming(workMs: number, { restBytes, slope }: Arrival): string {
  return `work;dur=${workMs.toFixed(3)}, body;bytes=${restBytes};slope=${(slope * 1000).toFixed(6)}`
}

/** @returns undefined if the header is missing or has other metrics. */
export function readServerTiming(
  header: string | string[] | undefined,
): (Arrival & { workMs: number }) | undefined {
  const text = Array.isArray(header) ? header.join(', ') : (header ?? '')
  const work = /\bwork;dur=(\d{1,12}(?:\.\d{1,6})?)/.exec(text)
  const body = /\bbody;bytes=(\d{1,15});slope=(\d{1,12}(?:\.\d{1,9})?)/.exec(text)
  if (!work || !body) return undefined
  return { workMs: Number(work[1]), restBytes: Number(body[1]), slope: Number(body[2]) / 1000 }
}
