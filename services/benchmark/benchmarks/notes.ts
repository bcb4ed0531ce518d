/** What a benchmark says of itself before it begins. */
import type { BenchmarkRequest } from '../../../shared/contracts/profile.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import type { ParentData } from './queues.ts'
import { optionsFor } from './reuse.ts'

export function emulationNotes(resources: readonly Resource[]): string[] {
  return resources
    .filter((resource) => resource.emulated)
    .map((resource) => `${resource.name} is emulated: it runs ${resource.slowdown}x slower than its machine`)
}

export function reuseNotes(reused: ParentData['reused']): string[] {
  return Object.entries(reused).map(
    ([resource, { measuredAt }]) =>
      `${resource} is not measured again: its profile of ${measuredAt} is reused; "force": true measures`,
  )
}

/** Cores that a service needs beside its executor: the event loop, the kernel's network work, the measuring process. */
const OTHER_CORES = 1

/**
 * Serving next to a measurement shares the machine with it. The measuring process has the lowest priority, but with
 * every core taken it still fills the caches and holds a core for moments: with one core less than this rule asks for,
 * the 95th percentile rose by 37 % (ResNet50 beside MobileNetV2, two cores; 87 % with equal priorities), as
 * `npm run bench -- while-serving` measures it on a machine. With a core for each thread of both and one besides
 * nothing is said.
 */
export function disturbanceNotes(resources: readonly Resource[], request: BenchmarkRequest): string[] {
  return resources.flatMap((resource) => {
    const { threads } = optionsFor(resource, request.options)
    const needed = resource.options.threads + threads + OTHER_CORES
    if (resource.machine.cores >= needed) return []
    return [
      `serving on ${resource.name} may be slower while it is measured, by 20 % or more at the 95th percentile: ` +
        `it has ${resource.machine.cores} cores and would need ${needed}`,
    ]
  })
}
