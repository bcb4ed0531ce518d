/**
 * Limits the memory of answers that wait for their clients to read them: a client that asks and does not read would otherwise
 * have this machine keep all that it asks for. Answers are sent from the memory that they were computed into, so it is counted
 * here and not copied.
 */
import type { ServerResponse } from 'node:http'
import type { Socket } from 'node:net'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { deliveredBytes } from '../../../shared/platform/http-server/delivered.ts'

/** ms in which a client that reads takes something, however slow its link is. */
const STALLED_MS = 1000

interface Held {
  socket: Socket
  bytes: number
  /** What its client had taken at the last look, and since when (`performance.now()`) it is that. */
  delivered: number
  since: number
}

export class AnswerMemory {
  readonly #maxBytes: number
  readonly #held = new Set<Held>()
  #bytes = 0

  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** Of the answers that wait now. */
  get bytes(): number {
    return this.#bytes
  }

  /**
   * Counts an answer until its connection has taken it or is closed. If it does not fit, the connections whose clients read
   * nothing are closed. An answer that is alone always fits, whatever its size.
   * @throws ScissionError overloaded if it does not fit all the same.
   */
  hold(res: ServerResponse, bytes: number): void {
    const { socket } = res
    if (!socket) return
    if (!this.#fits(bytes)) this.#closeStalled(bytes)
    if (!this.#fits(bytes))
      throw new ScissionError(
        'overloaded',
        `answers of ${this.#bytes} bytes together wait for their clients to read them, and ${bytes} more do not fit into ` +
          `${this.#maxBytes} (SCISSION_ANSWER_MEMORY_BYTES); send the request again in a moment`,
      )
    const held = { socket, bytes, delivered: deliveredBytes(socket), since: performance.now() }
    this.#held.add(held)
    this.#bytes += bytes
    res.once('close', () => this.#release(held))
  }

  #fits(bytes: number): boolean {
    return this.#held.size === 0 || this.#bytes + bytes <= this.#maxBytes
  }

  /** @param bytes that are to fit. */
  #closeStalled(bytes: number): void {
    const now = performance.now()
    for (const held of this.#held) {
      const delivered = deliveredBytes(held.socket)
      if (delivered !== held.delivered) Object.assign(held, { delivered, since: now })
      if (this.#fits(bytes) || now - held.since < STALLED_MS) continue
      held.socket.destroy()
      this.#release(held)
    }
  }

  #release(held: Held): void {
    if (this.#held.delete(held)) this.#bytes -= held.bytes
  }
}
