/** Which profiles a question is planned with, and why none of a resource's can be. */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { idOfShort } from '../../../shared/contracts/short-id.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { profileId } from '../../../shared/platform/redis/state.ts'
import { checkKnown } from '../../../shared/planning/index.ts'
import type { MirroredProfile } from '../knowledge/mirrored-documents.ts'
import type { RedisMirror } from '../knowledge/redis-mirror.ts'
import type { Question } from './question.ts'

export interface Chosen {
  profiles: MirroredProfile[]
  /** Resource → why none of its profiles can be planned with. Resources without any profile are not listed. */
  unusable: Map<string, string>
}

export function chooseProfiles(
  mirror: RedisMirror,
  question: Question,
  resources: readonly Resource[],
  structure: Structure,
): Chosen {
  const candidates = question.profiles ? namedProfiles(mirror, question) : profilesOf(mirror, question)
  const unusable = new Map<string, string>()
  const profiles: MirroredProfile[] = []
  for (const resource of resources) {
    const own = candidates.filter((profile) => profile.resource === resource.name)
    const fitting = own.filter((profile) => question.options === 'any' || hasOwnOptions(profile, resource))
    const whole = fitting.filter((profile) => isWhole(profile, structure))
    profiles.push(...whole)
    if (own.length > 0 && whole.length === 0)
      unusable.set(resource.name, whyUnusable(own, fitting, resource, structure))
  }
  return { profiles, unusable }
}

/** Of the question's model and shapes, for each resource and options one. */
export function profilesOf(mirror: RedisMirror, { model, shapesKey }: Question): MirroredProfile[] {
  return withoutRivals(
    [...mirror.profiles.values()].filter(
      (profile) => profile.model === model && profile.shapesKey === shapesKey,
    ),
  )
}

/** Of a measured and an imported profile of the same resource and options, the measured one. */
function withoutRivals(profiles: readonly MirroredProfile[]): MirroredProfile[] {
  const chosen = new Map<string, MirroredProfile>()
  for (const profile of profiles) {
    const key = profileId(profile)
    const rival = chosen.get(key)
    // An imported one may have the plain id: the original's have it.
    if (!rival || rival.source === 'imported') chosen.set(key, profile)
  }
  return [...chosen.values()]
}

/** @throws ScissionError badRequest when they cannot be planned with together. */
function namedProfiles(mirror: RedisMirror, question: Question): MirroredProfile[] {
  const known = [...mirror.profiles.keys()].sort()
  const ids = (question.profiles ?? []).map((id) => (known.includes(id) ? id : (idOfShort(id, known) ?? id)))
  const seen = new Map<string, string>()
  checkKnown('profiles', 'profile', ids, known)
  return ids.flatMap((id) => {
    const profile = mirror.profiles.get(id)
    if (!profile) return []
    const refuse = (why: string) =>
      new ScissionError('badRequest', `profiles: ${id} ${why}`, { field: 'profiles', profile: id })
    if (profile.model !== question.model) throw refuse(`is of another model, ${profile.model}`)
    if (profile.shapesKey !== question.shapesKey)
      throw refuse(`is for other input shapes (${profile.shapesKey}, not ${question.shapesKey})`)
    const other = seen.get(profileId(profile))
    if (other !== undefined) throw refuse(`and ${other} are of one resource with the same options: name one`)
    seen.set(profileId(profile), id)
    const resource = mirror.resources.get(profile.resource)
    if (resource && question.options === 'own' && !hasOwnOptions(profile, resource))
      throw refuse(
        `was measured with ${optionsText(profile)}, ${resource.name} runs with ${optionsText(resource)}: ` +
          'say options=any to let the planner choose the options',
      )
    return [profile]
  })
}

/** True if the profile was measured with the runtime options that its resource runs with now. */
function hasOwnOptions(profile: MirroredProfile, { options }: Resource): boolean {
  return profile.options.threads === options.threads && profile.options.optimisation === options.optimisation
}

function isWhole({ layerMs, enterMs, exitMs }: MirroredProfile, { layers, boundaries }: Structure): boolean {
  const sides = [enterMs, exitMs].every((side) => side === undefined || side.length === boundaries.length)
  return layerMs.length === layers.length && sides
}

function whyUnusable(
  own: readonly MirroredProfile[],
  fitting: readonly MirroredProfile[],
  resource: Resource,
  structure: Structure,
): string {
  if (fitting.length === 0)
    return (
      `its profiles of this model were measured with ${own.map(optionsText).join(', ')}, it runs with ` +
      `${optionsText(resource)}: benchmark the model on it again`
    )
  const counts = fitting.map((profile) => profile.layerMs.length).join(', ')
  return `its profile has ${counts} layers, the model has ${structure.layers.length}: benchmark the model on it again`
}

const optionsText = ({ options }: Pick<Resource, 'options'>): string =>
  `${options.threads} thread${options.threads === 1 ? '' : 's'} and optimisation ${options.optimisation}`
