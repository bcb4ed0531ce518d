/** Keys: who may call the services, and what each may do. A key's secret is known to its owner alone. */
import { z } from 'zod'
import { Name, timestamp } from './common.ts'

export const KEY_KINDS = ['operator', 'client', 'resource'] as const

/** A name with `*` for any characters: `mobilenet*`. */
export const NamePattern = z
  .string()
  .regex(/^[A-Za-z0-9*][A-Za-z0-9._*@-]{0,99}$/, 'a pattern is a name in which * stands for any characters')

const MAX_PATTERNS = 100

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
  })
  .refine(({ kind, infer, read }) => kind === 'client' || (infer === undefined && read === undefined), {
    message:
      'infer and read are permissions of clients; an operator and a resource have theirs by their kind',
    path: ['kind'],
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
    createdAt: timestamp,
    createdBy: z.string().describe('who asked for it'),
    expiresAt: timestamp.optional(),
    revokedAt: timestamp.optional(),
  })
  .meta({ id: 'Key' })
export type KeyView = z.infer<typeof KeyView>

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
