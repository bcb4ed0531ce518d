/** Work on many things, some at a time. */
import pLimit from 'p-limit'

/**
 * Works on each of them, at most `atOnce` at a time. After a failure nothing more begins; it settles when all that began has
 * ended, so that nothing goes on behind the caller's back.
 * @returns the results, in order. @throws what the first work that failed did.
 * @example
 * const texts = await eachOf(files, 8, (file) => readFile(file, 'utf8'))
 */
export async function eachOf<T, R>(
  all: Iterable<T>,
  atOnce: number,
  work: (one: T) => Promise<R>,
): Promise<R[]> {
  const limit = pLimit(atOnce)
  const failures: unknown[] = []
  const attempt = async (one: T): Promise<R[]> => {
    if (failures.length > 0) return []
    try {
      return [await work(one)]
    } catch (thrown) {
      failures.push(thrown)
      return []
    }
  }
  const results = await Promise.all(Array.from(all, (one) => limit(() => attempt(one))))
  if (failures.length > 0) throw failures[0]
  return results.flat(1)
}
