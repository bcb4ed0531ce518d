/** Keys: who may call the services, and what each may do. A key's secret is known to its owner alone. */
import { z } from 'zod'
import { Name, timestamp } from './common.ts'
import { Quotas, Used } from './quota.ts'

export const KEY_KINDS = ['operator', 'client', 'resource'] as const

/** A name with `*` for any characters: `mobilenet*`. */
export const NamePattern = z
  .string()
  .regex(/^[A-Za-z0-9*][A-Za-z0-9._*@-]{0,99}$/, 'a pattern is a name in which * stands for any characters')

const MAX_PATTERNS = 100

/** Why a key of this kind cannot have these quotas; undefined if it can. */
export function quotasFault(kind: (typeof KEY_KINDS)[number], quotas: Quotas): string | undefined {
  const odd = Object.keys(quotas).find((name) => kind === 'client' && !OF_CLIENTS.includes(name))
  if (kind === 'resource') return 'a resource has no quotas: it is a service of the system'
  return odd && `a client makes nothing that could be counted: it has ${OF_CLIENTS.join(' and ')}, not ${odd}`
}
const OF_CLIENTS: readonly string[] = ['requests', 'burst']

/** What is asked for when a key is made. */
export const KeyRequest = z
  .strictObject({
    kind: z
      .enum(KEY_KINDS)
      .describe('operator: everything. client: infer and read. resource: a service of the system'),
    name: Name.describe('who it is: of a resource, the name of the service'),
    infer: z
      .array(NamePattern)
      .max(MAX_PATTERNS)
      .optional()
      .describe('of a client: the models and deployments that it may run; all if it is left out'),
    read: z
      .boolean()
      .optional()
      .describe(
        'of a client: whether it may read models, plans, deployments and profiles; it may if this is left out',
      ),
    expiresAt: timestamp.optional().describe('by the clock of Redis; never if it is left out'),
    quotas: Quotas.optional(),
    replaces: z
      .string()
      .max(100)
      .optional()
      .describe('id of a key of the same kind and name: the new one takes over its quotas, and what it has'),
  })
  .refine(({ kind, infer, read }) => kind === 'client' || (infer === undefined && read === undefined), {
    message:
      'infer and read are permissions of clients; an operator and a resource have theirs by their kind',
    path: ['kind'],
  })
  .superRefine(({ kind, quotas }, context) => {
    const message = quotas && quotasFault(kind, quotas)
    if (message !== undefined) context.addIssue({ code: 'custom', message, path: ['quotas'] })
  })
  .meta({ id: 'KeyRequest' })
export type KeyRequest = z.infer<typeof KeyRequest>

/** What is known of a key but for its secret. */
export const KeyView = z
  .object({
    id: z.string(),
    kind: z.enum(KEY_KINDS),
    name: z.string(),
    infer: z.array(z.string()).optional(),
    read: z.boolean().optional(),
    quotas: Quotas.optional(),
    account: z
      .string()
      .optional()
      .describe(
        'the first key that this one replaces: what they have, and their requests, are counted together',
      ),
    createdAt: timestamp,
    createdBy: z.string().describe('who asked for it'),
    expiresAt: timestamp.optional(),
    revokedAt: timestamp.optional(),
  })
  .meta({ id: 'Key' })
export type KeyView = z.infer<typeof KeyView>

/** A caller's own quotas. */
export const QuotaView = z
  .object({
    identity: z.string().describe('who asks'),
    limits: Quotas.describe('those that hold, with those of the settings'),
    used: Used,
  })
  .meta({ id: 'QuotaView' })
export type QuotaView = z.infer<typeof QuotaView>

/** A key with what holds for it and what it has. */
export const KeyUse = KeyView.extend({
  limits: Quotas.describe('quotas that hold for it, with those of the settings'),
  used: Used,
}).meta({ id: 'KeyUse' })
export type KeyUse = z.infer<typeof KeyUse>

/** The only answer that holds the token. */
export const NewKey = KeyView.extend({
  token: z.string().describe('to be kept: it is told only now'),
}).meta({ id: 'NewKey' })
export type NewKey = z.infer<typeof NewKey>

/** A key as it is stored. */
export const KeyRecord = KeyView.extend({
  hash: z.string().regex(/^[0-9a-f]{64}$/, 'the SHA-256 of the secret, in hexadecimal digits'),
  /** base64url; checks what its owner signs. */
  publicKey: z.string().regex(/^[A-Za-z0-9_-]{43}$/),
})
export type KeyRecord = z.infer<typeof KeyRecord>
