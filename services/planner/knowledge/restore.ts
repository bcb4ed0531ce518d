/**
 * What a planner writes back to a Redis that has lost all that it held: what nobody else knows. Models, their structures and
 * profiles come from the benchmark services, measured links and deployments from the machines.
 */
import type { Link } from '../../../shared/contracts/resource.ts'
import type { Restored } from '../../../shared/platform/redis/redis-memory.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { linkId } from '../../../shared/platform/redis/state.ts'
import type { RedisMirror } from './redis-mirror.ts'

const NOT_RESTORED = ['records of failed deployments, and of those whose machines are all away']

/** @param mirror as it was before the loss: it must not be read again before this. */
export async function restoreFrom(
  mirror: Pick<RedisMirror, 'links' | 'resources' | 'served' | 'paces'>,
  state: State,
): Promise<Restored> {
  const restored = { links: 0, resources: 0, served: 0, paces: 0 }
  for (const resource of mirror.resources.values()) {
    if (resource.source !== 'imported') continue
    if (await state.resources.restore(resource.name, resource)) restored.resources += 1
  }
  for (const mirrored of mirror.links.values()) {
    if (mirrored.source !== 'override' && mirrored.source !== 'imported') continue
    const link: Link = { ...mirrored, samples: [] }
    // A machine may have written what it measured already.
    const isMeasured = (current: Link) => current.source === 'measured'
    if (await state.links.restore(linkId(link.from, link.to), link, isMeasured)) restored.links += 1
  }
  for (const served of mirror.served.values())
    if (await state.served.restore(served.id, served)) restored.served += 1
  for (const pace of mirror.paces.values())
    if (await state.paces.restore(pace.resource, pace)) restored.paces += 1
  return { restored, notRestored: NOT_RESTORED }
}
