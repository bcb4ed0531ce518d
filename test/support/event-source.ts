/** Follows server-sent events as a browser does: EventSource, which connects again by itself. */
import diagnostics from 'node:diagnostics_channel'
import { expect } from 'vitest'
import { EventSource } from 'undici'
import { call, type RawAnswer } from '../inference/support/service.ts'

interface SourceEvent {
  name: string
  id: string
  data: unknown
}

/** Longer than any test waits for a client that connects again after a second. */
const STOP_MS = 30_000

/** @param names of the events to read. */
export function readEvents(url: string, names: readonly string[]) {
  const events: SourceEvent[] = []
  const { pathname } = new URL(url)
  let connections = 0
  const onRequest = (message: unknown) => {
    if ((message as { request: { path: string } }).request.path === pathname) connections += 1
  }
  diagnostics.subscribe('undici:request:create', onRequest)
  const source = new EventSource(url)
  for (const name of names)
    source.addEventListener(name, (event) => {
      const { lastEventId, data } = event as MessageEvent
      events.push({ name, id: lastEventId, data: JSON.parse(String(data)) })
    })
  return {
    events,
    /** Requests so far. */
    connections: () => connections,
    /** Resolves once it has given up by itself. */
    stopped: async () => {
      await expect.poll(() => source.readyState, { timeout: STOP_MS }).toBe(source.CLOSED)
      diagnostics.unsubscribe('undici:request:create', onRequest)
    },
    close: () => {
      source.close()
      diagnostics.unsubscribe('undici:request:create', onRequest)
    },
  }
}

/**
 * Connects as a client that had an event, and reads the answer to its end. @param had the event's id.
 * @throws if the stream does not end, as one that has no more to tell must.
 */
export const connectAfter = (url: string, had: string, method = 'GET'): Promise<RawAnswer> =>
  call(method, url, undefined, { 'Last-Event-ID': had }, AbortSignal.timeout(STOP_MS))
