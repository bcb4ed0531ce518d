/**
 * Server-sent events: the states of one thing, each a whole JSON document, until its last one or until the client leaves.
 *
 * EventSource connects again after every end of a connection and says in Last-Event-ID which event it got last. An id is the
 * event's name and a digest of its document, so every replica knows it, also after a restart. A state that the client has is
 * not sent again; a client that has the last one is answered 204, at which EventSource gives up. As each event is a whole
 * state, a client that was away, or reads slowly, misses none but states that are past.
 */
import { createHash } from 'node:crypto'
import { once } from 'node:events'
import type { Request, Response } from 'express'
import { z } from 'zod'
import { isStillLetIn } from '../access/guard.ts'
import type { ClientStreams } from './client-streams.ts'

export interface StateEvent {
  name: string
  data: unknown
  /** True for the state after which nothing more will come. */
  last: boolean
}

export interface EventStream {
  /**
   * Sends a state unless the client has it already; after a last one the stream ends. Resolves once the client has read
   * enough for the next state, or has left.
   */
  send: (event: StateEvent) => Promise<void>
  /**
   * Sends something beside the states, without an id: a client that connects again is told anew what holds then. A client that
   * reads slowly gets the latest of each thing only. @param about names the thing.
   */
  tell: (about: string, name: string, data: unknown) => void
  end: () => void
  /** Aborted when the client has left, which it may have done before the stream was opened, or the stream has ended. */
  readonly closed: AbortSignal
}

/** Interval of comments that keep proxies from closing a quiet stream. */
const HEARTBEAT_MS = 15_000
const RETRY_MS = 1000
/** A stream ends so long after its key was revoked or its token expired. */
const CHECK_MS = 5000
const DIGEST_CHARACTERS = 16

const EVENT_STREAM = 'text/event-stream'
/** What the description of every such route says. */
export const ABOUT_EVENTS =
  'Each event holds the whole state. A client that connects again with `Last-Event-ID` is not sent the state that it has, and ' +
  'gets 204 after the last one, so that EventSource stops.'
export const EVENT_HEADERS = z.object({
  'Last-Event-ID': z.string().optional().describe('the `id` of the event that the client got last'),
})
export const NO_MORE_EVENTS = { description: 'Last-Event-ID shows that the client has had the last event' }

/**
 * Opens a stream, or answers 204 if the client has had the last event, or answers only the head to HEAD: in these two cases
 * the stream is closed at once.
 * @param now the present state, which the caller sends afterwards. @param streams bounds those of each client.
 * @throws ScissionError tooManyRequests.
 */
export function openEventStream(
  req: Request,
  res: Response,
  now: StateEvent,
  streams?: ClientStreams,
): EventStream {
  const had = lastEventId(req)
  const closing = new AbortController()
  const end = () => {
    if (!closing.signal.aborted) res.end()
    closing.abort()
  }
  let sent = had
  const untold = new Map<string, string>()
  const stream: EventStream = {
    send: async (event) => {
      const text = JSON.stringify(event.data)
      const id = eventId(event, text)
      const isNews = id !== sent && !closing.signal.aborted
      sent = id
      const wasTaken = !isNews || res.write(`id: ${id}\nevent: ${event.name}\ndata: ${text}\n\n`)
      if (event.last) end()
      else if (!wasTaken) await drained(res, closing.signal)
    },
    tell: (about, name, data) => {
      if (closing.signal.aborted) return
      const isFirst = untold.size === 0
      untold.delete(about)
      untold.set(about, `event: ${name}\ndata: ${JSON.stringify(data)}\n\n`)
      if (isFirst) void tellAll(res, untold, closing.signal)
    },
    end,
    closed: closing.signal,
  }
  if (now.last && had === eventId(now)) {
    res.status(204)
    end()
    return stream
  }
  if (req.method !== 'HEAD' && !res.destroyed) streams?.add(req, closing.signal)
  res
    .status(200)
    .set({ 'Content-Type': EVENT_STREAM, 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' })
  if (req.method === 'HEAD') {
    end()
    return stream
  }
  res.write(`retry: ${RETRY_MS}\n\n`)
  const heartbeat = setInterval(() => {
    if (!res.writableNeedDrain) res.write(': still here\n\n')
  }, HEARTBEAT_MS)
  const check = setInterval(() => void isStillLetIn(req).then((isLetIn) => isLetIn || end()), CHECK_MS)
  closing.signal.addEventListener('abort', () => {
    clearInterval(heartbeat)
    clearInterval(check)
  })
  const leave = () => closing.abort()
  req.once('close', leave)
  res.once('close', leave)
  // The client may have left while the handler awaited something: no event tells of it any more.
  if (res.destroyed) leave()
  return stream
}

/** What the client got last: an id of ours, else undefined. */
export function lastEventId(req: Request): string | undefined {
  const given = req.get('Last-Event-ID')
  return given !== undefined && /^[a-z]+\.[0-9a-f]{16}$/.test(given) ? given : undefined
}

/** @param text the event's data as JSON. */
export function eventId({ name, data }: StateEvent, text = JSON.stringify(data)): string {
  return `${name}.${createHash('sha256').update(text).digest('hex').slice(0, DIGEST_CHARACTERS)}`
}

async function tellAll(res: Response, untold: Map<string, string>, closed: AbortSignal): Promise<void> {
  for (const [about, text] of untold) {
    if (res.writableNeedDrain) await drained(res, closed)
    if (closed.aborted) return
    // Something newer was said of it meanwhile, which comes later in the order.
    if (untold.get(about) !== text) continue
    untold.delete(about)
    res.write(text)
  }
}

async function drained(res: Response, closed: AbortSignal): Promise<void> {
  // Aborted, it rejects: the client has left.
  await once(res, 'drain', { signal: closed }).catch(() => undefined)
}

/**
 * Sends the states of a thing to their last one, then ends the stream.
 * @param read the present state; undefined if there is none any more, which ends the stream too.
 * @param nextChange resolves at the next change, or when it is time to look again. It is called before each `read`, so that a
 * change during the read causes one more.
 * @param failed is told of reads that failed: the stream goes on, and the next change is read.
 */
export async function followStates(
  stream: EventStream,
  read: () => Promise<StateEvent | undefined>,
  nextChange: () => Promise<void>,
  failed: (error: unknown) => void,
): Promise<void> {
  while (!stream.closed.aborted) {
    const changed = nextChange()
    try {
      const state = await read()
      if (!state) break
      await stream.send(state)
    } catch (error) {
      failed(error)
    }
    await changed
  }
  stream.end()
}
