/**
 * When a benchmark's part has to stop before its end: it was cancelled, or given up from afar. Both are keys in Redis,
 * because whoever wants it stopped does not know where it runs; aborting the signal kills the process that measures,
 * however it hangs.
 */
import type { Redis } from 'ioredis'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { cancelKey, stopKey } from '../../../shared/platform/redis/queues.ts'

const POLL_MS = 250

export interface StopSignal {
  signal: AbortSignal
  /** Looks no more. */
  release: () => void
}

/** Resolves after the first look: a job that was cancelled while its worker was away is not begun. */
export async function stopSignal(redis: Redis, benchmark: string, resource: string): Promise<StopSignal> {
  const stopped = new AbortController()
  const look = async () => {
    const [cancelled, reason] = await redis.mget(cancelKey(benchmark), stopKey(benchmark, resource))
    if (cancelled !== null && cancelled !== undefined)
      stopped.abort(new ScissionError('cancelled', `benchmark ${benchmark} was cancelled`))
    else if (reason !== null && reason !== undefined) stopped.abort(new ScissionError('cancelled', reason))
  }
  // A lost Redis is reported by the connection; the measurement goes on meanwhile.
  const lookAgain = () => look().catch(() => undefined)
  await lookAgain()
  const timer = setInterval(() => void lookAgain(), POLL_MS)
  return { signal: stopped.signal, release: () => clearInterval(timer) }
}
