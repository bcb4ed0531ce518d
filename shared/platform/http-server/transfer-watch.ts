/**
 * Watches every body that is being received and every answer that is being sent: each must move on, and be done some day. A
 * client that sends or reads too slowly would otherwise keep its connection, memory, folders and places in queues for as long
 * as it likes. What stands still because this service is slow counts for nobody.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { ScissionError } from '../errors.ts'
import { deliveredBytes } from './delivered.ts'
import { sendError } from './error-answers.ts'

export interface TransferLimits {
  /** In every span of so many ms … */
  transferWindowMs: number
  /** … a body or an answer has to move on by so many bytes a second. */
  minBytesPerSecond: number
  /** ms in which a body has to be here as a whole. */
  bodyDeadlineMs: number
  /** Bytes of answers that wait in memory for their clients to read them, of all connections together. */
  answerMemoryBytes: number
}

/** Where a transfer was, and when (`performance.now()`). */
interface Mark {
  at: number
  bytes: number
}

interface Exchange {
  req: IncomingMessage
  res: ServerResponse
  begunAt: number
  received: Mark
  delivered: Mark
  /** When the answer last moved on, or had nothing to send. */
  movedAt: number
  movedBytes: number
}

const SWEEP_MS = 1000

export class TransferWatch {
  readonly #limits: TransferLimits
  readonly #exchanges = new Set<Exchange>()
  readonly #timer: NodeJS.Timeout

  constructor(limits: TransferLimits) {
    this.#limits = limits
    this.#timer = setInterval(() => this.#sweep(), Math.min(SWEEP_MS, limits.transferWindowMs / 4)).unref()
  }

  /** Called with every request. */
  watch(req: IncomingMessage, res: ServerResponse): void {
    const begunAt = performance.now()
    const delivered = { at: begunAt, bytes: 0 }
    const received = { at: begunAt, bytes: req.socket.bytesRead }
    const exchange = { req, res, begunAt, received, delivered, movedAt: begunAt, movedBytes: 0 }
    this.#exchanges.add(exchange)
    res.once('close', () => {
      // A body that goes on behind its answer is watched to its end.
      if (req.complete || req.socket.destroyed) this.#exchanges.delete(exchange)
    })
  }

  close(): void {
    clearInterval(this.#timer)
  }

  #sweep(): void {
    const now = performance.now()
    for (const exchange of this.#exchanges) {
      const { req, res } = exchange
      if (req.socket.destroyed || (req.complete && res.closed)) this.#exchanges.delete(exchange)
      else {
        if (!req.complete) this.#checkBody(exchange, now)
        if (!res.closed) this.#checkAnswer(exchange, now)
      }
    }
    this.#bound()
  }

  #checkBody(exchange: Exchange, now: number): void {
    const { req, res, begunAt, received } = exchange
    const { transferWindowMs, bodyDeadlineMs } = this.#limits
    if (now - begunAt >= bodyDeadlineMs)
      return giveUp(req, res, `the body was not here within ${bodyDeadlineMs} ms (SCISSION_BODY_DEADLINE_MS)`)
    const bytes = req.socket.bytesRead
    // Bytes that nobody has read yet: this service is the slow one, unless it reads no more.
    if (req.readableLength > 0 && !res.writableEnded) exchange.received = { at: now, bytes }
    if (now - exchange.received.at < transferWindowMs) return
    if (res.writableEnded) return void req.socket.destroy()
    const came = bytes - received.bytes
    if (came < this.#leastBytes) giveUp(req, res, this.#tooSlow(came))
    else exchange.received = { at: now, bytes }
  }

  #checkAnswer(exchange: Exchange, now: number): void {
    const { req, res, delivered } = exchange
    const bytes = deliveredBytes(req.socket)
    if (bytes !== exchange.movedBytes || res.writableLength === 0) {
      exchange.movedAt = now
      exchange.movedBytes = bytes
    }
    if (res.writableLength === 0) exchange.delivered = { at: now, bytes }
    if (now - exchange.delivered.at < this.#limits.transferWindowMs) return
    if (bytes - delivered.bytes < this.#leastBytes) req.socket.destroy()
    else exchange.delivered = { at: now, bytes }
  }

  /** Closes the connections whose clients have read nothing for longest, until what waits for the others is within the limit. */
  #bound(): void {
    const waiting = [...this.#exchanges].filter(({ res }) => res.writableLength > 0)
    let bytes = waiting.reduce((sum, { res }) => sum + res.writableLength, 0)
    for (const { req, res } of waiting.sort((a, b) => a.movedAt - b.movedAt)) {
      if (bytes <= this.#limits.answerMemoryBytes) return
      bytes -= res.writableLength
      req.socket.destroy()
    }
  }

  get #leastBytes(): number {
    return (this.#limits.minBytesPerSecond * this.#limits.transferWindowMs) / 1000
  }

  #tooSlow(came: number): string {
    const { transferWindowMs, minBytesPerSecond } = this.#limits
    const what = came === 0 ? 'nothing' : `only ${came} bytes`
    return (
      `the body stopped arriving: ${what} came for ${transferWindowMs} ms ` +
      `(at least ${minBytesPerSecond} bytes a second have to: SCISSION_MIN_BYTES_PER_SECOND)`
    )
  }
}

/** The handler, which waits for the body, learns of it by the end of the connection behind the answer. */
function giveUp(req: IncomingMessage, res: ServerResponse, why: string): void {
  if (res.headersSent) return void req.socket.destroy()
  res.setHeader('Connection', 'close')
  res.once('finish', () => req.socket.destroySoon())
  const path = (req.url ?? '/').split('?', 1)[0] ?? '/'
  sendError(res, path, new ScissionError('requestTimeout', why))
}
