/**
 * How a message's transfer is timed by those who send and receive it anyway: what link figures are kept fresh with.
 * The receiver of a request tells the sender in the standard `Server-Timing` header of its answer:
 *
 *   Server-Timing: work;dur=12.3, body;bytes=140000;slope=0.4237
 *
 * work: ms from the last byte of the request to the first of the answer; body: bytes of the request's body that came
 * after its first piece, and how many ms a thousand of them took.
 */

/** How a body came in. */
export interface Arrival {
  /** Bytes after the first piece. */
  restBytes: number
  /** ms per byte: the slope of the least-squares line through all pieces; 0 when there was only one piece. */
  slope: number
}

/** One message on its way. */
export interface TransferTimes extends Arrival {
  /** Of the whole message, its head included. */
  bytes: number
}

/** One request that was answered, as its sender knows it. */
export interface Observation {
  sent: TransferTimes
  received: TransferTimes
  /** From the first byte sent to the last byte received. */
  wireMs: number
  /** The same with writing and parsing the messages at the sender. */
  totalMs: number
  /** What the peer did between the last byte it received and the first it sent. */
  workMs: number
}

/** Takes the pieces of one body as they come. */
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

/** @returns undefined when the answer comes from a program that does not tell. */
export function readServerTiming(
  header: string | string[] | undefined,
): (Arrival & { workMs: number }) | undefined {
  const text = Array.isArray(header) ? header.join(', ') : (header ?? '')
  const work = /\bwork;dur=(\d{1,12}(?:\.\d{1,6})?)/.exec(text)
  const body = /\bbody;bytes=(\d{1,15});slope=(\d{1,12}(?:\.\d{1,9})?)/.exec(text)
  if (!work || !body) return undefined
  return { workMs: Number(work[1]), restBytes: Number(body[1]), slope: Number(body[2]) / 1000 }
}
