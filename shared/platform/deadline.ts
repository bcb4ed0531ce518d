/**
 * Bounded waiting: for a time, until a deadline, until a signal is aborted. Giving up ends the waiting, not the work:
 * the work goes on unless its owner stops it, its late rejection counts as handled, and no timer or listener remains.
 */

/** Limits of a wait; without either it lasts as long as the work. */
export interface Patience {
  signal?: AbortSignal | undefined
  /** ms of performance.now() on the main thread: a calendar that is set must neither end a wait nor prolong it. */
  deadline?: number | undefined
}

/** Why a wait was given up. */
export type GivenUp = 'aborted' | 'late'

/** Longer delays overflow Node's timers, which then fire at once. */
const MAX_DELAY_MS = 2 ** 31 - 1

/**
 * Calls `giveUp` once: when the signal is aborted or the deadline passes, never before this function has returned.
 * @returns stops watching.
 */
export function watchPatience({ signal, deadline }: Patience, giveUp: (why: GivenUp) => void): () => void {
  let watching = true
  const stop = () => {
    watching = false
    clearTimeout(timer)
    signal?.removeEventListener('abort', onAbort)
  }
  const end = (why: GivenUp) => {
    if (!watching) return
    stop()
    giveUp(why)
  }
  const onAbort = () => end('aborted')
  const timer = deadline === undefined ? undefined : setTimeout(() => end('late'), delayUntil(deadline))
  if (signal?.aborted) queueMicrotask(onAbort)
  else signal?.addEventListener('abort', onAbort)
  return stop
}

/**
 * Waits for `work` within the limits.
 * @param error what the wait rejects with when it is given up.
 * @throws what `work` or `error` says.
 */
export async function waitWithin<T>(
  work: Promise<T>,
  patience: Patience,
  error: (why: GivenUp) => unknown,
): Promise<T> {
  let stop = () => {}
  const givenUp = new Promise<never>((_resolve, reject) => {
    stop = watchPatience(patience, (why) => reject(error(why)))
  })
  try {
    return await Promise.race([work, givenUp])
  } finally {
    stop()
  }
}

/**
 * Waits for `work` for at most `ms`. The timer keeps the process alive meanwhile.
 * @returns its result, or `otherwise` when the time is up.
 */
export async function waitAtMost<T, U>(work: Promise<T>, ms: number, otherwise: U): Promise<T | U> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<U>((resolve) => {
    timer = setTimeout(resolve, Math.min(ms, MAX_DELAY_MS), otherwise)
  })
  try {
    return await Promise.race([work, late])
  } finally {
    clearTimeout(timer)
  }
}

const delayUntil = (deadline: number): number =>
  Math.min(MAX_DELAY_MS, Math.max(0, deadline - performance.now()))
