/** Which resources count as alive: said once, because the benchmark service and the planner must agree on it. */
import type { Resource, ResourceView } from './resource.ts'

/** Missed heartbeats after which a resource counts as lost. */
export const MISSED_HEARTBEATS = 3

/** @param now epoch milliseconds. What was imported has no service and is never alive. */
export function withLiveness(resource: Resource, heartbeatMs: number, now: number): ResourceView {
  const silentMs = now - Date.parse(resource.heartbeatAt)
  return { ...resource, alive: resource.source !== 'imported' && silentMs <= MISSED_HEARTBEATS * heartbeatMs }
}
