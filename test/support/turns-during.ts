/** How often the event loop turned while work was under way: what blocks it for long lets it turn once. */
export async function turnsDuring<T>(work: () => Promise<T>): Promise<{ turns: number; value: T }> {
  let turns = 0
  let isDone = false
  const others = () => {
    turns += 1
    if (!isDone) setImmediate(others)
  }
  setImmediate(others)
  try {
    const value = await work()
    return { turns, value }
  } finally {
    isDone = true
  }
}
