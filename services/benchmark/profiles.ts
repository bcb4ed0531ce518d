/** The API of profiles: what was measured, and the import of what was measured elsewhere. */
import { z } from 'zod'
import { PageQuery, pageOf, ResourceName } from '../../shared/contracts/common.ts'
import { Profile } from '../../shared/contracts/profile.ts'
import { ScissionError } from '../../shared/errors.ts'
import { reply, route, type Route } from '../../shared/http/route.ts'
import { findModel, paginate, profileId, type State, structureId } from '../../shared/state.ts'

const ProfilesQuery = PageQuery.extend({
  model: z.string().optional().describe('id, name or name@version'),
  resource: ResourceName.optional(),
})
/** One profile, or what GET /v1/profiles answers. */
const Imported = z.preprocess(
  (body) => (typeof body === 'object' && body !== null && 'items' in body ? body : { items: [body] }),
  pageOf(Profile),
)

export function profileRoutes(state: State): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/profiles',
      summary: 'Profiles, of one model or resource if asked',
      query: ProfilesQuery,
      answers: { 200: { description: 'A page of profiles', schema: pageOf(Profile) } },
      handle: async ({ query }) => {
        const model = query.model === undefined ? undefined : await findModel(state, query.model)
        const profiles = (await state.profiles.all()).filter(
          (profile) =>
            (model === undefined || profile.model === model.id) &&
            (query.resource === undefined || profile.resource === query.resource),
        )
        return paginate(profiles, (profile) => profile.id, query)
      },
    }),
    route({
      method: 'get',
      path: '/v1/profiles/:id',
      summary: 'One profile',
      params: z.object({ id: z.string().min(1) }),
      answers: { 200: { description: 'The profile', schema: Profile } },
      handle: ({ params }) => state.profiles.need(params.id),
    }),
    route({
      method: 'post',
      path: '/v1/profiles',
      summary: 'Import profiles measured elsewhere: one, or a page as GET answers it',
      description: 'All are checked before any is stored. A profile with the same id is replaced.',
      body: Imported,
      answers: { 201: { description: 'Stored', schema: pageOf(Profile) } },
      handle: async ({ body }) => {
        for (const profile of body.items) await checkProfile(state, profile)
        for (const profile of body.items) await state.profiles.put(profile.id, profile)
        return reply(201, { items: body.items })
      },
    }),
  ]
}

/** @throws ScissionError notFound, badRequest when the profile contradicts itself or the model's structure. */
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
  const sum = profile.layerMs.reduce((total, layerMs) => total + layerMs, 0)
  const whole = profile.whole.medianMs
  if (Math.abs(sum - whole) > 1e-6 * Math.max(sum, whole) + 1e-9)
    refuse(`its layer times sum to ${sum} ms, but the whole model took ${whole} ms`)
}
