/** One request and its answer on one connection. */
import http from 'node:http'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { ArrivalClock, SERVER_TIMING } from '../../../shared/platform/transfer-times.ts'
import { JSON_LENGTH_HEADER } from '../../../shared/oip/binary-message.ts'
import { type BodySink, openSink } from '../messages/body.ts'
import type { Call, CallAnswer } from './call.ts'
import type { Connection, ExchangeEvents } from './connection-pool.ts'
import { type ResponseHead, ResponseParser } from './response-parser.ts'
import { asBuffer } from '../messages/send.ts'

export class CallTimeout extends Error {}

/** The peer closed the connection while it was idle. It did not answer the request, which can be sent again. */
export class StaleConnection extends Error {}

export interface Outcome {
  /** @param usable true if the connection can carry another exchange. */
  done: (answer: CallAnswer, usable: boolean) => void
  failed: (error: unknown) => void
}

export class Exchange implements ExchangeEvents {
  readonly #call: Call
  readonly #outcome: Outcome
  readonly #startedAt = performance.now()
  readonly #clock = new ArrivalClock()
  readonly #parser: ResponseParser
  #head: ResponseHead | undefined
  #sink: BodySink | undefined
  #sentBytes = 0
  #receivedBytes = 0
  #reused = false
  #socket: Connection['socket'] | undefined
  #settled = false

  constructor(call: Call, outcome: Outcome) {
    this.#call = call
    this.#outcome = outcome
    this.#parser = new ResponseParser({
      onHead: (head) => this.#begin(head),
      onBody: (chunk) => {
        this.#clock.add(chunk.length, performance.now())
        this.#sink?.add(chunk)
      },
      onEnd: () => undefined,
    })
  }

  send({ socket, reused }: Connection, url: URL): void {
    const { method, headers, body } = this.#call
    const length = body.reduce((sum, part) => sum + part.byteLength, 0)
    const head = headOf(method, url, headers, length)
    this.#reused = reused
    this.#socket = socket
    this.#sentBytes = head.length + length
    socket.cork()
    socket.write(head, 'latin1')
    for (const part of body) if (part.byteLength > 0) socket.write(asBuffer(part))
    socket.uncork()
  }

  onData(chunk: Buffer): void {
    if (this.#settled) return
    this.#receivedBytes += chunk.length
    try {
      const tooMany = this.#parser.add(chunk)
      if (this.#parser.done) this.#finish(tooMany === 0)
    } catch (error) {
      this.fail(error)
    }
  }

  onGone(error: Error & { code?: string }): void {
    if (this.#settled) return
    if (this.#head && this.#parser.end()) return this.#finish(false)
    const reset = error.code === 'ECONNRESET' || error.code === 'EPIPE'
    if (this.#reused && reset && this.#receivedBytes === 0) return this.fail(new StaleConnection())
    this.fail(this.#head ? new Error('it closed the connection in the middle of its answer') : error)
  }

  onSilence(): void {
    this.fail(new CallTimeout())
  }

  fail(error: unknown): void {
    if (this.#settled) return
    this.#settled = true
    this.#outcome.failed(error)
  }

  #begin(head: ResponseHead): void {
    this.#head = head
    const { headers, length } = head
    const encoding = headers['content-encoding'] ?? 'identity'
    if (encoding !== 'identity')
      throw new ScissionError('unsupportedEncoding', `its answer is compressed (${encoding}), unasked`)
    this.#sink = openSink(headers[JSON_LENGTH_HEADER], length, this.#call.maxBytes)
  }

  #finish(clean: boolean): void {
    const head = this.#head
    const sink = this.#sink
    if (this.#settled || !head || !sink) return
    try {
      const body = sink.end()
      this.#settled = true
      const times = {
        wireMs: performance.now() - this.#startedAt,
        sentBytes: this.#sentBytes,
        receivedBytes: this.#receivedBytes,
        reused: this.#reused,
        serverTiming: head.headers[SERVER_TIMING.toLowerCase()],
      }
      // A peer may answer before it has read everything.
      const allSent = this.#socket?.writableLength === 0
      const answer = { status: head.status, ...body, arrival: this.#clock.arrival, times, allSent }
      this.#outcome.done(answer, clean && allSent && head.reusable)
    } catch (error) {
      this.fail(error)
    }
  }
}

function headOf(method: string, url: URL, headers: Record<string, string>, length: number): string {
  const lines = [`${method} ${url.pathname}${url.search} HTTP/1.1`, `Host: ${url.host}`]
  for (const [name, value] of Object.entries(headers)) {
    http.validateHeaderName(name)
    http.validateHeaderValue(name, value)
    lines.push(`${name}: ${value}`)
  }
  if (method === 'POST') lines.push(`Content-Length: ${length}`)
  return `${lines.join('\r\n')}\r\n\r\n`
}
