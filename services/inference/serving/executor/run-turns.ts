/**
 * How many threads compute at the same time. Large stages have threads of their own, so there are more threads than may run at
 * once: each run takes one of as many turns as SCISSION_EXECUTORS says, in memory that all threads share.
 */

export interface Turns {
  /** One number: turns that nobody has. */
  free: Int32Array
  /** One number: 1 while this thread has a turn. */
  held: Int32Array
}

const shared = (value: number) =>
  new Int32Array(new SharedArrayBuffer(Int32Array.BYTES_PER_ELEMENT)).fill(value)

/** Turns for all threads together. */
export const newTurns = (count: number): Int32Array => shared(count)

/** The turns of one thread. */
export const turnsOf = (free: Int32Array): Turns => ({ free, held: shared(0) })

/** Blocks this thread until it has a turn. */
export function takeTurn({ free, held }: Turns): void {
  for (;;) {
    const left = Atomics.load(free, 0)
    if (left <= 0) Atomics.wait(free, 0, left)
    else if (Atomics.compareExchange(free, 0, left, left - 1) === left) break
  }
  Atomics.store(held, 0, 1)
}

/** Gives the turn of a thread back, if it has one: at its end, or for a thread that is given up or dead. */
export function giveTurn({ free, held }: Turns): void {
  if (Atomics.exchange(held, 0, 0) === 0) return
  Atomics.add(free, 0, 1)
  Atomics.notify(free, 0, 1)
}
