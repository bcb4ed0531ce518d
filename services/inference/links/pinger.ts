/**
 * Times the round trip of a link and almost nothing else, on one kept-alive connection. The peer's HTTP parser answers the
 * head of a request with `Expect: 100-continue` before any code of the service runs (RFC 9110, 10.1.1); the body follows
 * after that. Requests are written to the socket without an HTTP client and with as few bytes as possible: on a slow link
 * a head of usual length takes a large part of the time.
 */
import type net from 'node:net'
import { authorizationHeader, type Shown } from '../../../shared/platform/credentials.ts'
import { connect } from '../http/connection-pool.ts'

export interface Ping {
  ms: number
  sentBytes: number
  receivedBytes: number
}

/** Given the `Server-Timing` of an answer. @throws Error if that shall not count. */
export type OnAnswer = (serverTiming: string | string[] | undefined) => void

/** An answer has less than a thousand. */
const MAX_ANSWER_BYTES = 64 * 1024

const CONTINUE = /^HTTP\/1\.1 100 [^\r\n]*\r\n\r\n/
const TIMING = /\r\nserver-timing: *([^\r\n]*)\r\n/i
const LENGTH = /\r\ncontent-length: *(\d{1,6})\r\n/i

export class Pinger {
  readonly #head: string
  readonly #socket: net.Socket
  readonly #timeoutMs: number
  readonly #onAnswer: OnAnswer
  #text = ''
  #wake: (() => void) | undefined
  #failed: Error | undefined

  /** @param url accepts a POST. @param timeoutMs limit for each answer. */
  constructor(url: URL, timeoutMs: number, onAnswer: OnAnswer = () => undefined, shown?: Shown) {
    const { Authorization } = authorizationHeader(shown)
    const header = Authorization === undefined ? '' : `Authorization:${Authorization}\r\n`
    this.#head =
      `POST ${url.pathname} HTTP/1.1\r\nHost:${url.host}\r\n${header}` +
      'Content-Length:1\r\nExpect:100-continue\r\n\r\n'
    this.#timeoutMs = timeoutMs
    this.#onAnswer = onAnswer
    this.#socket = connect(url.origin, shown?.credentials)
    this.#socket.setNoDelay(true)
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (text: string) => {
      this.#text += text
      if (this.#text.length > MAX_ANSWER_BYTES) {
        this.#fail(new Error(`its answer is longer than ${MAX_ANSWER_BYTES} bytes`))
        this.#socket.destroy()
      }
      this.#wake?.()
    })
    this.#socket.on('error', (error) => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('it closed the connection')))
  }

  /** @throws Error if the connection fails, there is no answer or it shall not count; the message says which. */
  async ping(): Promise<Ping> {
    const startedAt = performance.now()
    this.#socket.write(this.#head)
    const received = await this.#until((text) => CONTINUE.exec(text)?.[0].length)
    const ms = performance.now() - startedAt
    this.#text = this.#text.slice(received)
    this.#socket.write('x')
    const answer = await this.#until(answerLength)
    const timing = TIMING.exec(this.#text.slice(0, answer))?.[1]
    this.#text = this.#text.slice(answer)
    this.#onAnswer(timing)
    return { ms, sentBytes: this.#head.length, receivedBytes: received }
  }

  close(): void {
    this.#socket.destroy()
  }

  #fail(error: Error): void {
    this.#failed ??= error
    this.#wake?.()
  }

  /** Resolves with the length of what `find` recognises at the start of the received text. */
  #until(find: (text: string) => number | undefined): Promise<number> {
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => this.#fail(new Error('no answer')), this.#timeoutMs)
      const settle = (outcome: () => void) => {
        clearTimeout(timer)
        this.#wake = undefined
        outcome()
      }
      this.#wake = () => {
        const found = find(this.#text)
        const failed = this.#failed ?? refusal(this.#text)
        if (found !== undefined) settle(() => resolve(found))
        else if (failed) settle(() => reject(failed))
      }
      this.#wake()
    })
  }
}

/** The error for an answer with another status than 100 or 200: the peer is not an inference service. */
function refusal(text: string): Error | undefined {
  const status = /^HTTP\/1\.\d ([2-5]\d\d) /.exec(text)?.[1]
  return status === undefined || status === '200' ? undefined : new Error(`it answered ${status}`)
}

/** Length in bytes of a complete answer at the start of the text; undefined if the answer is not complete. */
function answerLength(text: string): number | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0 || !text.startsWith('HTTP/1.1 200')) return undefined
  const length = LENGTH.exec(text.slice(0, end + 2))?.[1]
  if (length === undefined) return undefined
  const total = end + 4 + Number(length)
  return text.length >= total ? total : undefined
}
