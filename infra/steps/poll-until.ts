import { setTimeout as sleep } from 'node:timers/promises'

/**
 * Asks every `everyMs` until the answer is the wanted one or `timeoutMs` have passed. @returns the last answer.
 * @throws the reason of `signal` as soon as it is aborted.
 */
export async function pollUntil<T>(
  ask: () => Promise<T>,
  isWanted: (answer: T) => boolean,
  { everyMs, timeoutMs = Infinity, signal }: { everyMs: number; timeoutMs?: number; signal?: AbortSignal },
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    signal?.throwIfAborted()
    const answer = await ask()
    if (isWanted(answer) || performance.now() > deadline) return answer
    await sleep(everyMs, undefined, { signal }).catch(() => signal?.throwIfAborted())
  }
}
