/**
 * What a planner writes back to a Redis that has lost all that it held: what nobody else knows. Models, their structures and
 * profiles come from the benchmark services, measured links and deployments from the machines.
 */
import { withOverride } from '../../../shared/contracts/link-override.ts'
import { isAlive, type Link } from '../../../shared/contracts/resource.ts'
import type { Restored } from '../../../shared/platform/redis/redis-memory.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { linkId } from '../../../shared/platform/redis/state.ts'
import type { RedisMirror } from './redis-mirror.ts'

const NOT_RESTORED = ['records of failed deployments, and of those whose machines are all away']

/**
 * @param mirror as it was before the loss: it must not be read again before this.
 * @param heartbeatMs of the machines: those that live register again by themselves.
 */
export async function restoreFrom(
  mirror: Pick<RedisMirror, 'links' | 'resources' | 'served' | 'paces' | 'conditions' | 'keys'>,
  state: State,
  heartbeatMs: number,
): Promise<Restored> {
  const restored = { keys: 0, links: 0, resources: 0, served: 0, paces: 0, conditions: 0 }
  // First: without them nobody is let in.
  for (const key of mirror.keys.values()) if (await state.keys.restore(key.id, key)) restored.keys += 1
  const now = await state.clock.read()
  for (const resource of mirror.resources.values()) {
    if (isAlive(resource, heartbeatMs, now)) continue
    if (await state.resources.restore(resource.name, resource)) restored.resources += 1
  }
  for (const mirrored of mirror.links.values()) {
    if (mirrored.source !== 'override' && mirrored.source !== 'imported') continue
    const known: Link = { ...mirrored, samples: [] }
    const link =
      known.source === 'override' ? overMeasured(known, await state.links.find(idOf(known))) : known
    // A machine may have written what it measured already, and Redis may have come back with an older link.
    const isOutdated = (current: Link) =>
      current.source === 'measured' || current.measuredAt < link.measuredAt
    if (await state.links.restore(idOf(link), link, isOutdated)) restored.links += 1
  }
  for (const served of mirror.served.values())
    if (await state.served.restore(served.id, served)) restored.served += 1
  for (const pace of mirror.paces.values())
    if (await state.paces.restore(pace.resource, pace)) restored.paces += 1
  // What machines notice they write back themselves, if it still holds.
  for (const condition of mirror.conditions.values())
    if (condition.by === 'planner' && (await state.conditions.add(condition.id, condition)))
      restored.conditions += 1
  return { restored, notRestored: NOT_RESTORED }
}

const idOf = ({ from, to }: Pick<Link, 'from' | 'to'>): string => linkId(from, to)

/** A machine that has already written what it measured knows that better than this planner. */
const overMeasured = (override: Link, current: Link | undefined): Link =>
  current?.source === 'measured' ? withOverride(current, override) : override
