/** HTTP routes of keys, for operators. */
import { z } from 'zod'
import { PageQuery, pageOf } from '../../../shared/contracts/common.ts'
import { KeyRequest, KeyUse, KeyView, NewKey, QuotaView } from '../../../shared/contracts/key.ts'
import { QUOTAS, Quotas, type Used } from '../../../shared/contracts/quota.ts'
import { identityOf } from '../../../shared/platform/access/guard.ts'
import type { Holdings } from '../../../shared/platform/access/holdings.ts'
import { describeIdentity, type Identity } from '../../../shared/platform/access/identity.ts'
import { accountOf } from '../../../shared/platform/access/quotas.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { reply, route, type Route } from '../../../shared/platform/http-server/route.ts'
import { paginate } from '../../../shared/platform/redis/state.ts'
import type { Keys } from './keys.ts'

const ById = z.object({ id: z.string().max(100) })
const KeyPage = pageOf(KeyView).meta({ id: 'KeyPage' })

export function keyRoutes(keys: Keys, holdings: Holdings): Route[] {
  return [
    ...quotaRoutes(keys, holdings),
    route({
      method: 'post',
      path: '/v1/keys',
      id: 'addKey',
      access: 'operate',
      summary: 'Make a key; its token is in this answer and nowhere else',
      body: KeyRequest,
      answers: { 201: { description: 'The key with its token', schema: NewKey } },
      fails: ['notFound', 'conflict', 'tooManyRequests'],
      handle: async ({ body }, req) => {
        refuseLimited(identityOf(req), holdings)
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

function quotaRoutes(keys: Keys, holdings: Holdings): Route[] {
  return [
    route({
      method: 'get',
      path: '/v1/quotas',
      id: 'readOwnQuotas',
      access: 'identified',
      summary: 'The quotas of who asks, and what it has',
      answers: { 200: { description: 'Without a limit for what has none', schema: QuotaView } },
      handle: async (_input, req): Promise<QuotaView> => {
        const identity = identityOf(req)
        // A client makes nothing that is counted: looking for it would read all that there is.
        const account = identity.kind === 'client' ? undefined : accountOf(identity)
        return {
          identity: describeIdentity(identity),
          limits: holdings.limits(identity),
          used: account === undefined ? NOTHING : await holdings.used(account),
        }
      },
    }),
    route({
      method: 'get',
      path: '/v1/keys/:id',
      id: 'readKey',
      access: 'operate',
      summary: 'A key with the quotas that hold for it, and what it has',
      params: ById,
      answers: { 200: { description: 'The key', schema: KeyUse } },
      handle: async ({ params }) => useOf(await keys.one(params.id), holdings),
    }),
    route({
      method: 'put',
      path: '/v1/keys/:id/quotas',
      id: 'setKeyQuotas',
      access: 'operate',
      summary: 'Give a key other quotas: one that is left out is that of the settings from now on',
      description: 'They hold two seconds later.',
      params: ById,
      body: Quotas,
      answers: { 200: { description: 'The key as it is now', schema: KeyUse } },
      fails: ['conflict'],
      handle: async ({ params, body }, req) => {
        refuseLimited(identityOf(req), holdings)
        return useOf(await keys.setQuotas(params.id, body), holdings)
      },
    }),
  ]
}

/** @throws ScissionError forbidden for who has a quota: with a key of its own making it would have more. */
function refuseLimited(identity: Identity, holdings: Holdings): void {
  const limited = QUOTAS.filter((name) => holdings.limits(identity)[name] !== undefined)
  if (limited.length === 0) return
  throw new ScissionError(
    'forbidden',
    `${describeIdentity(identity)} has a quota (${limited.join(', ')}), so it makes no keys and changes no quotas: ask an operator ` +
      'who has none, such as the one with the system key',
  )
}

const NOTHING: Used = { models: 0, bytes: 0, deployments: 0, jobs: 0 }

async function useOf(key: KeyView, holdings: Holdings): Promise<KeyUse> {
  const { id, kind, name, quotas, account } = key
  const identity: Identity =
    kind === 'client'
      ? { kind, id, name, infer: 'all', read: true, quotas }
      : kind === 'operator'
        ? { kind, id, name, quotas }
        : { kind, id, name }
  return { ...key, limits: holdings.limits(identity), used: await holdings.used(account ?? id) }
}
