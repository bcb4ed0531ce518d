/** Something that hooks start before the tests of a file or group, and end after them. */
import { afterAll, beforeAll } from 'vitest'

/**
 * Registers the hooks for the file or group in which it is called.
 * @returns a function that returns what was started. It throws before that.
 */
export function startedOnce<T>(start: () => Promise<T>, end: (started: T) => Promise<unknown>): () => T {
  let held: { value: T } | undefined
  beforeAll(async () => {
    held = { value: await start() }
  })
  afterAll(() => held && end(held.value))
  return () => {
    if (!held) throw new Error('this is started by a hook, which has not run yet')
    return held.value
  }
}
