/** Which profiles are recent enough to stand for a new measurement. */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { BenchmarkRequest, Profile } from '../../../shared/contracts/profile.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { profileId, type State } from '../../../shared/platform/redis/state.ts'
import { machineDifferences } from '../../../shared/contracts/machine-differences.ts'
import type { ParentData } from './queues.ts'

/** The options that a request means for a resource: those it names, else the resource's own. */
export function optionsFor(resource: Resource, asked: BenchmarkRequest['options']): Resource['options'] {
  return {
    threads: asked?.threads ?? resource.options.threads,
    optimisation: asked?.optimisation ?? resource.options.optimisation,
  }
}

/** By resource. Nothing when the request forces a measurement. */
export async function reusable(
  state: State,
  { model, shapesKey }: Pick<Structure, 'model' | 'shapesKey'>,
  resources: readonly Resource[],
  request: BenchmarkRequest,
  now: number,
): Promise<ParentData['reused']> {
  if (request.force || request.maxAgeMs === 0) return {}
  const found: ParentData['reused'] = {}
  for (const resource of resources) {
    const options = optionsFor(resource, request.options)
    const profile = await state.profiles.get(
      profileId({ model, shapesKey, resource: resource.name, options }),
    )
    if (!profile || !isSame(profile, resource) || !isEnough(profile, request)) continue
    if (now - Date.parse(profile.measuredAt) > request.maxAgeMs) continue
    found[resource.name] = { profile: profile.id, measuredAt: profile.measuredAt }
  }
  return found
}

/** Measured by this system on this machine, at this speed, with this runtime. */
function isSame(profile: Profile, resource: Resource): boolean {
  return profile.source !== 'imported' && machineDifferences(profile, resource).length === 0
}

/** Who asks for more runs than were made wants them. */
function isEnough(profile: Profile, { runs }: BenchmarkRequest): boolean {
  return runs === undefined || profile.whole.samplesMs.length >= runs
}
