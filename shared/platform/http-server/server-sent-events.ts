/** Server-sent events: a stream of small JSON documents, ended by the service or when the client leaves. */
import type { Request, Response } from 'express'

export interface EventStream {
  send: (event: string, data: unknown) => void
  end: () => void
  /** Aborted when the client has left, which it may have done before the stream was opened, or the stream has ended. */
  readonly closed: AbortSignal
}

/** Interval of comments that keep proxies from closing a quiet stream. */
const HEARTBEAT_MS = 15_000
const RETRY_MS = 1000

export function openEventStream(req: Request, res: Response): EventStream {
  const closing = new AbortController()
  res
    .status(200)
    .set({ 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store', 'X-Accel-Buffering': 'no' })
  res.write(`retry: ${RETRY_MS}\n\n`)
  const heartbeat = setInterval(() => res.write(': still here\n\n'), HEARTBEAT_MS)
  let id = 0
  const finish = () => {
    clearInterval(heartbeat)
    closing.abort()
  }
  req.once('close', finish)
  res.once('close', finish)
  // The client may have left while the handler awaited something: no event tells of it any more.
  if (res.destroyed) finish()
  return {
    send: (event, data) => {
      if (closing.signal.aborted) return
      id += 1
      res.write(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`)
    },
    end: () => {
      if (!closing.signal.aborted) res.end()
      finish()
    },
    closed: closing.signal,
  }
}
