/** What an answered request tells of the link that it crossed. */
import { type Observation, readServerTiming } from '../../../shared/platform/transfer-times.ts'
import type { CallAnswer } from '../http/call.ts'

/**
 * @param totalMs the whole request as its sender saw it, writing and parsing included.
 * @returns undefined when the peer does not say what it did meanwhile, or the connection was new: setting one up is
 * not what a message costs.
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
