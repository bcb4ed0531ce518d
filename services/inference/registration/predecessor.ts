/**
 * Whether another service that has the name of this one still runs. Its heartbeat in Redis proves that it did a moment ago.
 * A service that is started again after a crash finds its own last heartbeat there: it should not have to wait until that
 * has expired.
 */
import type { Resource } from '../../../shared/contracts/resource.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import { isLoopback } from '../../../shared/platform/loopback.ts'
import { whoAnswers } from './who-answers.ts'

type Instance = Pick<Resource, 'url' | 'host' | 'instance'>

/**
 * Asks at the address of the other one.
 * @returns `unknown` if that proves nothing: it may be behind a firewall, and a loopback address leads to another process on
 *   every machine.
 */
export async function whetherItRuns(other: Instance, own: Instance): Promise<'runs' | 'gone' | 'unknown'> {
  const isHere = other.host !== undefined && other.host === own.host
  const leadsThere = isHere || !isLoopback(new URL(other.url).hostname)
  try {
    const health = await whoAnswers(other.url)
    if (health.instance === undefined || other.instance === undefined) return 'unknown'
    if (health.instance === other.instance) return 'runs'
    // This service, or a third one, is at its address now.
    return leadsThere ? 'gone' : 'unknown'
  } catch (thrown) {
    return isHere && isRefusal(coerceError(thrown)) ? 'gone' : 'unknown'
  }
}

/** No process listens at the address, which is certain only on the same host. The client says so in its message. */
const isRefusal = (error: Error): boolean => error.message.endsWith('(ECONNREFUSED)')
