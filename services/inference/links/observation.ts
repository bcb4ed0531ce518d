/** The observation of a link that an answered request provides. */
import { type Observation, readServerTiming } from '../../../shared/platform/transfer-times.ts'
import type { CallAnswer } from '../http/call.ts'

/**
 * @param totalMs duration of the request at its sender, writing and parsing included.
 * @returns undefined if the peer does not report its own times, or if the connection was new: setting up a connection is
 * not part of the cost of a message.
 */
export function observationOf(
  { times, arrival }: Pick<CallAnswer, 'times' | 'arrival'>,
  totalMs: number,
): Observation | undefined {
  const peer = times.reused ? readServerTiming(times.serverTiming) : undefined
  if (!peer) return undefined
  const { workMs, ...sent } = peer
  return {
    sent: { bytes: times.sentBytes, ...sent },
    received: { bytes: times.receivedBytes, ...arrival },
    wireMs: times.wireMs,
    totalMs,
    workMs,
  }
}
