/**
 * Whether the parts of a document fit each other. The contracts say what each field may be; these say it of the whole, for
 * documents that are written to, or read from, the shared state. What makes no sense is not written, and counts as unreadable.
 */
import type { z } from 'zod'
import { Deployment } from './plan.ts'
import { ANY_PROFILE_LISTS, Profile, PROFILE_LISTS } from './profile.ts'
import { Link } from './resource.ts'
import { StandIn } from './stand-in.ts'

type Faults<T> = (document: T) => Iterable<string | false | undefined>

/** The contract, or a part of it, without the documents that have a fault. */
export function sensible<T>(contract: z.ZodType<T>, faultsOf: Faults<T>): z.ZodType<T> {
  return contract.superRefine((document, context) => {
    for (const message of faultsOf(document))
      if (typeof message === 'string') context.addIssue({ code: 'custom', message })
  })
}

export const SensibleDeployment = sensible(Deployment, function* ({ hops, entry, verifies }) {
  let end = 0
  for (const [index, { resource, from, to }] of hops.entries()) {
    const what = `hop ${index} (${resource})`
    yield from !== end && `${what} begins at layer ${from}, not at ${end}`
    // One that holds no layer passes on what it gets.
    yield to < from && `${what} ends at layer ${to}, before it begins`
    end = to
  }
  yield end === 0 && 'no hop holds a layer'
  const names = hops.map(({ resource }) => resource)
  const twice = names.find((name, index) => names.indexOf(name) !== index)
  // A verification may cut the model once on one machine.
  const isTried = verifies !== undefined && names.length === 2
  yield twice !== undefined && !isTried && `resource ${twice} has two hops`
  yield entry.resource !== names[0] &&
    `it is entered at ${entry.resource}, and begins at ${names[0] ?? 'nobody'}`
})

export const linkFaults: Faults<Pick<Link, 'from' | 'to' | 'overridden'>> = function* ({
  from,
  to,
  overridden,
}) {
  yield from === to && `a link leads from ${from} to itself`
  yield overridden &&
    (overridden.from !== from || overridden.to !== to) &&
    'the overridden figures are those of another link'
}
export const SensibleLink = sensible(Link, linkFaults)

/** Far more than any network has. */
export const MOST_LAYERS = 1_000_000

type Figures = Pick<Profile, 'layerMs' | 'layers' | 'enterMs' | 'exitMs' | 'anchors' | 'predictionError'>
export const profileFaults: Faults<Figures> = function* (profile) {
  const { layerMs, layers, enterMs, exitMs, anchors = [], predictionError } = profile
  const count = layerMs.length
  yield count === 0 && 'it has no layers'
  yield count > MOST_LAYERS && `it has ${count} layers, more than ${MOST_LAYERS}`
  yield layers && layers.length !== count && `it has ${count} times, and ${layers.length} with their spreads`
  for (const [name, costs] of Object.entries({ enterMs, exitMs }))
    yield costs && costs.length !== count + 1 && `${name} has ${costs.length} entries for ${count} layers`
  const cuts = [...anchors, ...(predictionError?.cuts ?? [])]
  const beyond = cuts.find(({ k }) => k > count)
  yield beyond && `it tells of boundary ${beyond.k} of ${count} layers`
}
export const SensibleProfile = sensible(Profile, profileFaults)
/** That of 100,000 layers has 15 MB (shared/platform/check-in-turns.ts). */
export const LONG_PROFILE = {
  lists: PROFILE_LISTS,
  frame: sensible(Profile.extend(ANY_PROFILE_LISTS), profileFaults),
}

export const SensibleStandIn = sensible(StandIn, function* ({ requests: { standIn, of } }) {
  yield standIn > of && `${standIn} of ${of} requests were computed by a stand-in`
})

/**
 * What is wrong with a deployment for a model and machines that are known; undefined if nothing is.
 * @param layers of its structure. @param tierOf position of a resource's tier; undefined if the resource is not known.
 */
export function misfitOf(
  { hops }: Pick<Deployment, 'hops'>,
  layers: number,
  tierOf: (resource: string) => number | undefined,
): string | undefined {
  const end = hops.at(-1)?.to
  if (end !== layers) return `its hops end at layer ${end}, its model has ${layers}`
  let before: { resource: string; tier: number } | undefined
  for (const { resource } of hops) {
    const tier = tierOf(resource)
    if (tier === undefined) continue
    if (before && before.resource !== resource && tier <= before.tier)
      return `hops only move forward: ${resource} is not on a later tier than ${before.resource}`
    before = { resource, tier }
  }
  return undefined
}
