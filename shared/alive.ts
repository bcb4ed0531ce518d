/** Which resources count as alive: said once, because the benchmark service and the planner must agree on it. */
import type { Resource, ResourceView } from './contracts/resource.ts'

/** Missed heartbeats after which a resource counts as lost. */
export const MISSED_HEARTBEATS = 3

/** @param now epoch milliseconds */
export function withLiveness(resource: Resource, heartbeatMs: number, now: number): ResourceView {
  const silentMs = now - Date.parse(resource.heartbeatAt)
  return { ...resource, alive: silentMs <= MISSED_HEARTBEATS * heartbeatMs }
}
