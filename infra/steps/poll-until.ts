import { setTimeout as sleep } from 'node:timers/promises'

/** Asks every `everyMs` until the answer is the wanted one or `timeoutMs` have passed. @returns the last answer. */
export async function pollUntil<T>(
  ask: () => Promise<T>,
  isWanted: (answer: T) => boolean,
  { everyMs, timeoutMs = Infinity }: { everyMs: number; timeoutMs?: number },
): Promise<T> {
  const deadline = performance.now() + timeoutMs
  for (;;) {
    const answer = await ask()
    if (isWanted(answer) || performance.now() > deadline) return answer
    await sleep(everyMs)
  }
}
