/** Liveness of resources, defined once because the benchmark service and the planner must agree on it. */
import type { Resource, ResourceView } from './resource.ts'

/** A resource is lost after this many missed heartbeats. */
const MISSED_HEARTBEATS = 3

/** Adds `alive`. An imported resource has no service and is never alive. @param now epoch milliseconds. */
export function withLiveness(resource: Resource, heartbeatMs: number, now: number): ResourceView {
  const silentMs = now - Date.parse(resource.heartbeatAt)
  return { ...resource, alive: resource.source !== 'imported' && silentMs <= MISSED_HEARTBEATS * heartbeatMs }
}
