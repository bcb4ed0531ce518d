/** Bounds the streams of events of each client: an open stream holds a connection and is told of every change. */
import type { IncomingMessage } from 'node:http'
import { ScissionError } from '../errors.ts'
import { clientOf } from './client-of.ts'

export class ClientStreams {
  readonly #max: number
  readonly #open = new Map<string, number>()

  /** @param max of one client, all streams of this service together. */
  constructor(max: number) {
    this.#max = max
  }

  /** Counts one more until `closed` is aborted. @throws ScissionError tooManyRequests. */
  add(req: IncomingMessage, closed: AbortSignal): void {
    const client = clientOf(req)
    const open = this.#open.get(client) ?? 0
    if (open >= this.#max)
      throw new ScissionError(
        'tooManyRequests',
        `${open} streams of events from ${client} are open, the most that one client may have (SCISSION_MAX_CLIENT_STREAMS); ` +
          'close some, or follow fewer things',
        { limit: this.#max },
      )
    this.#open.set(client, open + 1)
    closed.addEventListener('abort', () => {
      const left = (this.#open.get(client) ?? 1) - 1
      if (left > 0) this.#open.set(client, left)
      else this.#open.delete(client)
    })
  }
}
