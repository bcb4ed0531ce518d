/**
 * Times the round trip of a link and next to nothing else, on one kept-alive connection: the head of a request that
 * says `Expect: 100-continue` is answered by the peer's HTTP parser before any of its code runs (RFC 9110, 10.1.1);
 * only then the body follows. Written and read without an HTTP client of our own in between, and with as few bytes as
 * will do: on a slow link a head of usual length is a good part of the time.
 */
import net from 'node:net'
import tls from 'node:tls'

export interface Ping {
  ms: number
  sentBytes: number
  receivedBytes: number
}

const CONTINUE = /^HTTP\/1\.1 100 [^\r\n]*\r\n\r\n/
const LENGTH = /\r\ncontent-length: *(\d{1,6})\r\n/i

export class Pinger {
  readonly #head: string
  readonly #socket: net.Socket
  readonly #timeoutMs: number
  #text = ''
  #wake: (() => void) | undefined
  #failed: Error | undefined

  /** @param url that takes a POST. @param timeoutMs for each answer. */
  constructor(url: URL, timeoutMs: number) {
    const secure = url.protocol === 'https:'
    const port = Number(url.port || (secure ? 443 : 80))
    const host = url.hostname.replace(/^\[|\]$/g, '')
    this.#head = `POST ${url.pathname} HTTP/1.1\r\nHost:${url.host}\r\nContent-Length:1\r\nExpect:100-continue\r\n\r\n`
    this.#timeoutMs = timeoutMs
    this.#socket = secure ? tls.connect({ host, port, servername: host }) : net.connect({ host, port })
    this.#socket.setNoDelay(true)
    this.#socket.setEncoding('latin1')
    this.#socket.on('data', (text: string) => {
      this.#text += text
      this.#wake?.()
    })
    this.#socket.on('error', (error) => this.#fail(error))
    this.#socket.on('close', () => this.#fail(new Error('it closed the connection')))
  }

  /** @throws Error why it was not answered. */
  async ping(): Promise<Ping> {
    const startedAt = performance.now()
    this.#socket.write(this.#head)
    const received = await this.#until((text) => CONTINUE.exec(text)?.[0].length)
    const ms = performance.now() - startedAt
    this.#text = this.#text.slice(received)
    this.#socket.write('x')
    const answer = await this.#until(answerLength)
    this.#text = this.#text.slice(answer)
    return { ms, sentBytes: this.#head.length, receivedBytes: received }
  }

  close(): void {
    this.#socket.destroy()
  }

  #fail(error: Error): void {
    this.#failed ??= error
    this.#wake?.()
  }

  /** Resolves with the length that `find` finds at the start of what has come. */
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

/** An answer that is neither the 100 nor the 200: from a program that is no service of ours. */
function refusal(text: string): Error | undefined {
  const status = /^HTTP\/1\.\d ([2-5]\d\d) /.exec(text)?.[1]
  return status === undefined || status === '200' ? undefined : new Error(`it answered ${status}`)
}

/** Bytes of a complete answer at the start of a text; undefined while more is to come. */
function answerLength(text: string): number | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0 || !text.startsWith('HTTP/1.1 200')) return undefined
  const length = LENGTH.exec(text.slice(0, end + 2))?.[1]
  if (length === undefined) return undefined
  const total = end + 4 + Number(length)
  return text.length >= total ? total : undefined
}
