/**
 * Long work on the event loop is done a piece at a time, so that nobody else waits: one piece, of whichever work, in each turn of
 * the loop. Several clients who ask for long work at the same time wait for each other, and others for one piece.
 */

/** Characters of JSON that are parsed, checked or written in one go, which takes some milliseconds. */
export const PIECE_CHARACTERS = 32 * 1024

let last: Promise<void> = Promise.resolve()

/** Resolves in a turn of the event loop in which no other piece is worked on. */
export function nextTurn(): Promise<void> {
  last = last.then(() => new Promise((resolve) => setImmediate(resolve)))
  return last
}

/**
 * For work of many small pieces, which would take longer if each had a turn of its own.
 * @returns to be awaited after each piece, with its size: gives way to others whenever pieces of the size `every` are done.
 */
export function turnEvery(every: number): (size: number) => Promise<void> {
  let done = 0
  return async (size) => {
    done += size
    if (done < every) return
    done = 0
    await nextTurn()
  }
}
