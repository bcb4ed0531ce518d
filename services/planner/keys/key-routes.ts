/** HTTP routes of keys, for operators. */
import { z } from 'zod'
import { PageQuery, pageOf } from '../../../shared/contracts/common.ts'
import { KeyRequest, KeyView, NewKey } from '../../../shared/contracts/key.ts'
import { identityOf } from '../../../shared/platform/access/guard.ts'
import { describeIdentity } from '../../../shared/platform/access/identity.ts'
import { reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { paginate } from '../../../shared/platform/redis/state.ts'
import type { Keys } from './keys.ts'

const ById = z.object({ id: z.string().max(100) })
const KeyPage = pageOf(KeyView).meta({ id: 'KeyPage' })

export function keyRoutes(keys: Keys): Route[] {
  return [
    route({
      method: 'post',
      path: '/v1/keys',
      id: 'addKey',
      access: 'operate',
      summary: 'Make a key; its token is in this answer and nowhere else',
      body: KeyRequest,
      answers: { 201: { description: 'The key with its token', schema: NewKey } },
      fails: ['conflict', 'tooManyRequests'],
      handle: async ({ body }, req) => {
        const made = await keys.add(body, describeIdentity(identityOf(req)))
        return reply(201, made, { 'Cache-Control': 'no-store', Location: `/v1/keys/${made.id}` })
      },
    }),
    route({
      method: 'get',
      path: '/v1/keys',
      id: 'listKeys',
      access: 'operate',
      summary: 'All keys by their ids, without their tokens',
      query: PageQuery,
      answers: { 200: { description: 'A page', schema: KeyPage } },
      handle: async ({ query }) => paginate(await keys.all(), ({ id }) => id, query),
    }),
    route({
      method: 'delete',
      path: '/v1/keys/:id',
      id: 'revokeKey',
      access: 'operate',
      summary: 'Revoke a key: two seconds later its token holds nowhere',
      params: ById,
      answers: { 200: { description: 'The key as it is now', schema: KeyView } },
      fails: ['conflict'],
      handle: ({ params }) => keys.revoke(params.id),
    }),
  ]
}
