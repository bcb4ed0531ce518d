/**
 * Says what is being waited for while packages are installed and code is compiled: on standard error, because standard output
 * is for results. Plain JavaScript, because it runs before both; infra/terminal/waiting.ts is for all that comes later.
 */

/** No phase is silent for longer. */
const EVERY_MS = 2000

/**
 * @template T
 * @param {string} title what is being done; said at once.
 * @param {() => Promise<T>} work
 * @param {() => string} [detail] how far it is.
 * @returns {Promise<T>} what `work` returns.
 */
export async function sayWhileWaiting(title, work, detail = () => '') {
  const start = performance.now()
  console.error(title)
  const timer = setInterval(() => {
    const seconds = Math.round((performance.now() - start) / 1000)
    const far = detail()
    console.error(`  … ${seconds} s${far === '' ? '' : `, ${far}`}`)
  }, EVERY_MS)
  timer.unref()
  try {
    return await work()
  } finally {
    clearInterval(timer)
  }
}
