/** Waits for what must become true by itself: a sleep of a fixed length is too short on some machine. */
import { setTimeout as sleep } from 'node:timers/promises'
import { vi } from 'vitest'
import { PATIENCE_MS } from './patience.ts'

const EVERY_MS = 20

/**
 * Calls `check` again and again until it no longer throws.
 * @returns what it returned then.
 * @throws what it threw last, when PATIENCE_MS have passed.
 */
export function eventually<T>(check: () => T | Promise<T>): Promise<T> {
  return vi.waitFor(check, { timeout: PATIENCE_MS, interval: EVERY_MS })
}

/**
 * Asks again and again until `condition` is true.
 * @throws what it throws, at once: what must hold all the while is asserted in it.
 */
export async function until(condition: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS
  while (!(await condition())) {
    if (performance.now() > deadline)
      throw new Error(`not so after ${PATIENCE_MS} ms: ${condition.toString()}`)
    await sleep(EVERY_MS)
  }
}
