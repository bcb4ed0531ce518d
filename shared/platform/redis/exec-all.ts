import type { ChainableCommander } from 'ioredis'

/**
 * Runs the commands of a `multi()`, all or none of which Redis takes. Its answer lists the outcome of each: one that failed, as
 * with a key of another kind, rejects nothing by itself.
 * @throws Redis' error of the first that failed; Error if the transaction was discarded.
 */
export async function execAll(commands: ChainableCommander): Promise<unknown[]> {
  const outcomes = await commands.exec()
  if (!outcomes) throw new Error('Redis discarded a transaction')
  return outcomes.map(([error, result]) => {
    if (error) throw error
    return result
  })
}
