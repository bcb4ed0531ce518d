/** Lets a client that is refused while it sends read the error. */
import type { Request, Response } from 'express'

/** ms for which a refused client may continue to send. */
const DRAIN_MS = 5000

/** Does what reads the body of a request; if that fails, what is still coming is read and dropped, for a limited time. */
export async function drainIfRefused<T>(req: Request, res: Response, work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (thrown) {
    drain(req, res)
    throw thrown
  }
}

function drain(req: Request, res: Response): void {
  if (req.readableEnded || req.destroyed) return
  // If the client asked to close the connection, Node would close it right after the answer. While bytes are still
  // arriving that resets the connection, and the client may never receive the answer.
  res.shouldKeepAlive = true
  req.resume()
  const timer = setTimeout(() => req.destroy(), DRAIN_MS)
  req.once('close', () => clearTimeout(timer))
}
