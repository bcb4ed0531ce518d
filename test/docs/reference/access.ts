/** docs/reference/access.md: who may call which route, from the descriptions that the services serve. */
import { z } from 'zod'
import { ACCESS, type Access, type Identity, mayDo } from '../../../shared/platform/access/identity.ts'
import { isShown } from '../../../shared/platform/access/guard.ts'
import { readDescriptions } from '../../support/descriptions.ts'
import { code, page, table } from './markdown.ts'

/** One row for each route: what the test of all routes holds the services to. */
export interface AccessRow {
  service: string
  method: string
  path: string
  access: Access
}

const Operation = z.object({ 'x-access': z.enum(ACCESS) })
const Description = z.object({ paths: z.record(z.string(), z.record(z.string(), Operation)) })

export async function accessRows(): Promise<AccessRow[]> {
  const rows: AccessRow[] = []
  for (const [service, served] of await readDescriptions())
    for (const [path, operations] of Object.entries(Description.parse(served).paths))
      for (const [method, operation] of Object.entries(operations))
        rows.push({ service, method: method.toUpperCase(), path, access: operation['x-access'] })
  return rows
}

/** Identities as the columns of the table show them. A client is one that may do all that clients may. */
export const CALLERS = {
  nobody: { kind: 'nobody' },
  client: { kind: 'client', id: 'c', name: 'c', infer: 'all', read: true },
  operator: { kind: 'operator', id: 'o', name: 'o' },
  resource: { kind: 'resource', id: 'edge', name: 'edge' },
  planner: { kind: 'resource', id: 'planner', name: 'planner' },
} as const satisfies Record<string, Identity>
export type Caller = keyof typeof CALLERS

/** What a caller is answered: a status, or undefined if it is let in. */
export function expectedRefusal(
  access: Access,
  caller: Caller,
  shows: 'everything' | 'public' | 'internal',
): 401 | 403 | 404 | undefined {
  if (!isShown({ shows, asks: true }, access)) return 404
  if (shows === 'internal' && caller === 'client' && access !== 'anyone') return 403
  if (mayDo(CALLERS[caller], access, 'net')) return undefined
  return caller === 'nobody' ? 401 : 403
}

const MEANING: Record<Access, string> = {
  anyone:
    'Everybody, also without a token: probes of orchestrators, the description. Who shows none learns no more than that the service runs.',
  identified: 'Everybody with a token.',
  about: 'Metadata of a model, a layer range or a deployment: who may read, or infer on that name.',
  infer: 'Who may infer on that name.',
  read: 'Operators, resources, and clients that may read.',
  operate: 'Operators: it changes the system.',
  manage: 'Operators and resources: to load a model, to measure a link.',
  machine:
    'Resources and operators: what the services ask of each other. A public door beside an internal one does not have it.',
  planner:
    'The planner and operators: what a deployment is. A public door beside an internal one does not have it.',
}

const INTRODUCTION = `A service that listens on its own machine alone asks nobody for a token ([guide](../guides/expose-a-system.md)). Beyond that every
request shows one, \`Authorization: Bearer scn_ID_SECRET\` (services among each other a signature made with it: 421 if it is for another), and each route takes one of these permissions. A request without a
token, or with one that does not hold (unknown, wrong, revoked, expired: which of these is not said), is answered with 401,
one whose key does not have the permission with 403. A token of your [identity provider](../guides/expose-a-system.md#people-and-programs-of-an-identity-provider)
is a client's, or an operator's, by the roles in it, and counts for the same.`

const mark = (access: Access, caller: Caller, shows: 'everything' | 'public' | 'internal') =>
  String(expectedRefusal(access, caller, shows) ?? '✓')

export async function accessPage(): Promise<string> {
  const rows = await accessRows()
  const callers = Object.keys(CALLERS) as Caller[]
  const parts = [...new Set(rows.map(({ service }) => service))].flatMap((service) => [
    `## ${service[0]!.toUpperCase()}${service.slice(1)} service`,
    table(
      ['route', 'permission'],
      rows
        .filter((row) => row.service === service)
        .map(({ method, path, access }) => [code(`${method} ${path}`), access]),
    ),
  ])
  return page(
    'Access',
    INTRODUCTION,
    '## Permissions',
    table(
      ['permission', 'who has it', ...callers],
      ACCESS.map((access) => [
        code(access),
        MEANING[access],
        ...callers.map((caller) => mark(access, caller, 'everything')),
      ]),
    ),
    'Of a service with two doors (`SCISSION_INTERNAL_PORT`) the public one answers 404 to `machine` and `planner`, and the internal ' +
      'one answers 403 to clients.',
    ...parts,
  )
}
