import type { HopReport } from '../serving/models/target.ts'

/** Waking the thread that runs the stage takes less: what takes longer waited behind other requests. */
const MAX_WAKE_MS = 1
/** A client on this machine or next to it sends its request in less: what takes longer is its link. */
const MAX_RECEIVED_MS = 2

/**
 * What the request cost here beside the run of its stage, in ms. The link to this hop is charged with receiving it, but
 * nobody else with receiving it from the client.
 */
export function callMs(
  own: HopReport,
  { receivedMs, restMs }: { receivedMs: number; restMs: number },
): number {
  const { hop, computeMs, waitedMs, queueMs, nextMs = 0, encodeMs = 0, decodeMs = 0 } = own
  const received = hop === 0 && receivedMs <= MAX_RECEIVED_MS ? receivedMs : 0
  const queued = queueMs > MAX_WAKE_MS ? queueMs : 0
  return received + restMs - computeMs - waitedMs - queued - nextMs - encodeMs - decodeMs
}
