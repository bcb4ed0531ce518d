/** What a reader of plans should know of the profiles and machines that they rest on. */
import type { Plan } from '../../../shared/contracts/plan.ts'
import { linkId } from '../../../shared/platform/redis/state.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import { machineDifferences, type Resource } from '../../../shared/contracts/resource.ts'
import type { MirroredProfile } from '../knowledge/mirrored-documents.ts'
import type { PlanningProblem } from './solver.ts'

const percent = (fraction: number): string => `${(100 * fraction).toFixed(1)} %`

export function doubtsAbout(
  profiles: readonly MirroredProfile[],
  resources: readonly Resource[],
  structure: Structure,
): string[] {
  return profiles.flatMap((profile) => {
    const resource = resources.find(({ name }) => name === profile.resource)
    return [
      ...failedCheck(profile),
      ...(resource ? otherMachine(profile, resource) : []),
      ...otherSamples(profile, structure),
    ]
  })
}

/** The work of a model may depend on its inputs: on lengths, on branches, on zeros. */
function otherSamples(profile: MirroredProfile, { samples }: Structure): string[] {
  if (profile.source === 'imported' || profile.samples === samples) return []
  const values = profile.samples === undefined ? 'made-up inputs' : 'other samples'
  return [
    `the profile of ${profile.resource} was measured with ${values}, before the model's samples changed: ` +
      'benchmark the model on it again',
  ]
}

/** Plans built on such a profile carry a warning; this note adds the size of the error. */
function failedCheck({ resource, predictionError: check }: MirroredProfile): string[] {
  if (!check || check.ok) return []
  const missed = `${percent(check.median)} in the median and ${percent(check.maximum)} at worst`
  return [
    `the profile of ${resource} failed its own check: at cuts it was not fitted to it missed by ${missed}`,
  ]
}

/** A machine or its runtime may have been replaced under the same name. */
function otherMachine(profile: MirroredProfile, resource: Resource): string[] {
  if (profile.source === 'imported') return []
  const differences = machineDifferences(profile, resource)
  if (differences.length === 0) return []
  return [
    `the profile of ${resource.name} was measured on another machine or runtime than it has now ` +
      `(${differences.join('; ')}): benchmark the model on it again`,
  ]
}

type Emulatable = Pick<PlanningProblem, 'resources' | 'links'>

/** The machines and links of one plan. */
export function partUsedBy({ stages, transfers }: Plan, { resources, links }: Emulatable): Emulatable {
  const names = new Set([
    ...stages.map(({ resource }) => resource),
    ...transfers.flatMap(({ from, to }) => [from, to]),
  ])
  const hops = new Set(transfers.map(({ from, to }) => linkId(from, to)))
  return {
    resources: resources.filter(({ name }) => names.has(name)),
    links: links.filter(({ from, to }) => hops.has(linkId(from, to))),
  }
}

/** Notes that name emulated speeds and links. */
export function emulationNotes({ resources, links }: Emulatable): string[] {
  const slowed = resources.filter((resource) => resource.slowdown > 1)
  const names = new Set(resources.map(({ name }) => name))
  const emulatedLinks = links.filter(
    ({ from, to, emulated, source }) => emulated && source === 'measured' && names.has(from) && names.has(to),
  )
  const speeds = slowed.map(({ name, slowdown }) => `${name} runs ${slowdown}x slower than this machine`)
  const pairs = emulatedLinks.map((link) => `${link.from} to ${link.to}`)
  return [
    ...(speeds.length > 0 ? [`emulated speed: ${speeds.join(', ')}`] : []),
    ...(pairs.length > 0 ? [`emulated links: ${pairs.join(', ')}`] : []),
  ]
}
