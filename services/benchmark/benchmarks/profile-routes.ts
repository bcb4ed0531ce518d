/** HTTP routes of profiles, which are measured costs, and the import of profiles measured elsewhere. */
import { z } from 'zod'
import { PageQuery, pageOf, ResourceName } from '../../../shared/contracts/common.ts'
import { Profile, ProfileView } from '../../../shared/contracts/profile.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { modelLock, withLock } from '../../../shared/platform/redis/lock.ts'
import { OriginalDocument, OriginalStored, storeOriginal } from './import-original.ts'
import {
  findModel,
  paginate,
  profileId,
  type State,
  structureId,
} from '../../../shared/platform/redis/state.ts'

const ProfilesQuery = PageQuery.extend({
  model: z.string().optional().describe('id, name or name@version'),
  resource: ResourceName.optional(),
})
const ProfileViewPage = pageOf(ProfileView).meta({ id: 'ProfileViewPage' })
const ProfilePage = pageOf(Profile).meta({ id: 'ProfilePage' })
/** Accepts one profile, a list of them, a page as GET /v1/profiles returns it, or the original's document. */
const Imported = z.preprocess(
  (body) => {
    if (Array.isArray(body)) return { items: body }
    const isOne = typeof body === 'object' && body !== null && !('items' in body) && !('systems' in body)
    return isOne ? { items: [body] } : body
  },
  z.looseObject({ items: z.array(Profile).default([]), ...OriginalDocument.partial().shape }),
)

export function profileRoutes(state: State): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/profiles',
      id: 'listProfiles',
      summary: 'Profiles, of one model or resource if asked',
      query: ProfilesQuery,
      answers: { 200: { description: 'A page of profiles', schema: ProfileViewPage } },
      fails: ['notFound'],
      handle: async ({ query }) => {
        const model = query.model === undefined ? undefined : await findModel(state, query.model)
        const profiles = (await state.profiles.all()).filter(
          (profile) =>
            (model === undefined || profile.model === model.id) &&
            (query.resource === undefined || profile.resource === query.resource),
        )
        const page = paginate(profiles, (profile) => profile.id, query)
        return { ...page, items: await Promise.all(page.items.map((profile) => withServed(state, profile))) }
      },
    }),
    route({
      method: 'get',
      path: '/v1/profiles/:id',
      id: 'readProfile',
      summary: 'One profile',
      params: z.object({ id: z.string().min(1) }),
      answers: { 200: { description: 'The profile', schema: ProfileView } },
      handle: async ({ params }) => withServed(state, await state.profiles.need(params.id)),
    }),
    route({
      method: 'post',
      path: '/v1/profiles',
      id: 'importProfiles',
      summary:
        'Import profiles measured elsewhere: one, a list, a page as GET answers it, or the original Scission’s',
      description:
        'All are checked before any is stored. A profile with the same id is replaced. The original’s profiles.json ' +
        'may have its networks.json beside it as `networks`, and the name of one of them as `network`: then its ' +
        'models, machines and links are stored too, to be planned with.',
      body: Imported,
      bodyForms: z.union([Profile, z.array(Profile), ProfilePage, OriginalDocument]),
      fails: ['notFound', 'conflict', 'overloaded'],
      answers: {
        201: { description: 'Stored', schema: z.union([OriginalStored, ProfilePage]) },
      },
      handle: async ({ body }) => {
        const { items, systems, ...beside } = body
        if (systems)
          return reply(201, await storeOriginal(state, { ...beside, systems }, await state.clock.read()))
        await keepingModels(state, [...new Set(items.map(({ model }) => model))].sort(), async () => {
          for (const profile of items) await checkProfile(state, profile)
          for (const profile of items) await state.profiles.put(profile.id, profile)
        })
        return reply(201, { items })
      },
    }),
  ]
}

/** Runs `work` while none of the models can be deleted. @param models sorted, so that no two callers wait for each other. */
async function keepingModels(
  state: State,
  [model, ...others]: readonly string[],
  work: () => Promise<void>,
): Promise<void> {
  if (model === undefined) return work()
  return withLock(state.redis, modelLock(model), () => keepingModels(state, others, work))
}

/** Adds the served times that were held against the profile, if there are any. */
async function withServed(state: State, profile: Profile): Promise<ProfileView> {
  const served = await state.served.find(profile.id)
  if (!served) return profile
  const { id: _id, ...figures } = served
  return { ...profile, served: figures }
}

/** @throws ScissionError notFound; badRequest if the profile contradicts itself or the model's structure. */
async function checkProfile(state: State, profile: Profile): Promise<void> {
  const model = await findModel(state, profile.model)
  const expected = profileId(profile)
  const refuse = (reason: string): never => {
    throw new ScissionError('badRequest', `profile ${profile.id}: ${reason}`, { profile: profile.id })
  }
  if (profile.id !== expected) refuse(`its model, shapes, resource and options make the id ${expected}`)
  const structure = await state.structures.get(structureId(profile.model, profile.shapesKey))
  if (!structure)
    return refuse(
      `model ${model.name} was not analysed with these shapes; ask for its layers with them first`,
    )
  if (profile.layerMs.length !== structure.layers.length)
    refuse(`it has ${profile.layerMs.length} layer times, the model has ${structure.layers.length} layers`)
  for (const side of ['enterMs', 'exitMs'] as const) {
    const costs = profile[side]
    if (costs && costs.length !== structure.boundaries.length)
      refuse(`${side} has ${costs.length} figures, the model has ${structure.boundaries.length} boundaries`)
  }
  const sum = profile.layerMs.reduce((total, layerMs) => total + layerMs, 0)
  const whole = profile.whole.medianMs
  if (Math.abs(sum - whole) > 1e-6 * Math.max(sum, whole) + 1e-9)
    refuse(`its layer times sum to ${sum} ms, but the whole model took ${whole} ms`)
}
