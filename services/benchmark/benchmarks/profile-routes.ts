/** HTTP routes of profiles, which are measured costs, and the import of profiles measured elsewhere. */
import { z } from 'zod'
import { PageQuery, pageOf, ResourceName } from '../../../shared/contracts/common.ts'
import { Profile, ProfileView } from '../../../shared/contracts/profile.ts'
import { idOfShort } from '../../../shared/contracts/short-id.ts'
import {
  asPlainDocument,
  PlainDocument,
  PlainLink,
  PlainMachine,
  PlainProfile,
} from '../../../shared/contracts/plain-import.ts'
import { identityOf } from '../../../shared/platform/access/guard.ts'
import type { Holdings } from '../../../shared/platform/access/holdings.ts'
import { MAX_FAULTS, reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { findModel, paginate, type State } from '../../../shared/platform/redis/state.ts'
import { storeImported } from './imported-profiles.ts'
import { type AdmitModels, OriginalDocument, OriginalStored, storeOriginal } from './import-original.ts'
import { storePlain } from './import-plain.ts'

const ProfilesQuery = PageQuery.extend({
  model: z.string().optional().describe('id, name or name@version'),
  resource: ResourceName.optional(),
})
const ProfileViewPage = pageOf(ProfileView).meta({ id: 'ProfileViewPage' })
const ProfilePage = pageOf(Profile).meta({ id: 'ProfilePage' })
/** What is imported, by its form. */
type Form = { items: z.infer<typeof Profile>[] } | { original: OriginalDocument } | { plain: PlainDocument }

/** In one import: to check more of them holds up whoever asks meanwhile. */
const MAX_IMPORTED = 10_000
const LISTS = ['items', 'profiles', 'machines', 'links']

/** Accepts all that `bodyForms` below lists, and says of what it is which field is wrong. */
const Imported = z.unknown().transform((body, context): Form => {
  const checked = <T>(schema: z.ZodType<T>, value: unknown): T => {
    const parsed = schema.safeParse(value)
    if (parsed.success) return parsed.data
    for (const { path, message } of parsed.error.issues.slice(0, MAX_FAULTS))
      context.issues.push({ code: 'custom', message, path, input: body })
    return z.NEVER
  }
  const has = (field: string) => typeof body === 'object' && body !== null && field in body
  const listed = Object(body) as Record<string, unknown>
  const lists = [body, ...LISTS.map((name) => listed[name])]
  if (lists.some((list) => Array.isArray(list) && list.length > MAX_IMPORTED)) {
    const message = `more than ${MAX_IMPORTED} are not imported at once; send them in several requests`
    context.issues.push({ code: 'custom', message, input: body })
    return z.NEVER
  }
  if (has('systems')) return { original: checked(OriginalDocument, body) }
  const plain = has('items') ? undefined : asPlainDocument(body)
  if (plain) return { plain: checked(PlainDocument, plain) }
  const items = Array.isArray(body) ? body : [body]
  return checked(z.object({ items: z.array(Profile) }), has('items') ? body : { items })
})

export function profileRoutes(state: State, holdings: Holdings): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/profiles',
      id: 'listProfiles',
      access: 'read',
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
      access: 'read',
      summary: 'One profile',
      params: z.object({ id: z.string().min(1) }),
      answers: { 200: { description: 'The profile', schema: ProfileView } },
      handle: async ({ params }) => withServed(state, await needProfile(state, params.id)),
    }),
    importRoute(state, holdings),
    deleteRoute(state),
  ]
}

const importRoute = (state: State, holdings: Holdings): Route =>
  route({
    method: 'post',
    path: '/v1/profiles',
    id: 'importProfiles',
    access: 'operate',
    summary:
      'Import profiles measured elsewhere: as GET answers them, written by hand, or the original Scission’s',
    description:
      'All are checked before any is stored. Imported profiles stand beside measured ones, with `.imported` at the end of ' +
      'their ids: one imported before is replaced, a measured one never. Plans use the measured one if there are both, ' +
      'unless `profiles` names the other. Machines, links and profiles may be written by hand (`PlainDocument`, or one ' +
      'or a list of its parts). The original’s profiles.json ' +
      'may have its networks.json beside it as `networks`, and the name of one of them as `network`: then its ' +
      'models, machines and links are stored too, to be planned with.',
    body: Imported,
    // Its schema bounds each of its lists.
    maxValues: Infinity,
    bodyForms: z.union([
      Profile,
      z.array(Profile),
      ProfilePage,
      OriginalDocument,
      PlainDocument,
      PlainProfile,
      PlainMachine,
      PlainLink,
      z.array(z.union([PlainProfile, PlainMachine, PlainLink])),
    ]),
    fails: ['notFound', 'conflict', 'overloaded', 'tooManyRequests'],
    answers: {
      201: { description: 'Stored', schema: z.union([OriginalStored, ProfilePage]) },
    },
    handle: async ({ body }, req) => {
      if ('items' in body) return reply(201, { items: await storeImported(state, body.items) })
      const now = await state.clock.read()
      const admit: AdmitModels = (models, work) => holdings.reserving(identityOf(req), { models }, work)
      return reply(
        201,
        'plain' in body
          ? await storePlain(state, body.plain, now)
          : await storeOriginal(state, body.original, now, admit),
      )
    },
  })

const deleteRoute = (state: State): Route =>
  route({
    method: 'delete',
    path: '/v1/profiles/:id',
    id: 'deleteProfile',
    access: 'operate',
    summary: 'Delete a profile, measured or imported, and what serving says of it',
    params: z.object({ id: z.string().min(1) }),
    answers: { 204: { description: 'Deleted' } },
    handle: async ({ params: { id } }) => {
      const profile = await needProfile(state, id)
      await state.profiles.delete(profile.id)
      await state.served.delete(profile.id)
      return reply(204)
    },
  })

/** By its id, also as tables print it. @throws ScissionError notFound. */
async function needProfile(state: State, id: string): Promise<Profile> {
  const found = await state.profiles.get(id)
  if (found) return found
  return state.profiles.need(idOfShort(id, await state.profiles.ids()) ?? id)
}

/** Adds the served times that were held against the profile, if there are any. */
async function withServed(state: State, profile: Profile): Promise<ProfileView> {
  const served = await state.served.find(profile.id)
  if (!served) return profile
  const { id: _id, ...figures } = served
  return { ...profile, served: figures }
}
