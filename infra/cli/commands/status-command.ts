/** `scission status`: what runs where, and whether it is well. The exit code tells. */
import type { Command } from 'commander'
import colour from 'picocolors'
import { createJsonClient } from '../../../shared/client/http.ts'
import type { DeploymentView } from '../../../shared/contracts/stand-in.ts'
import type { LinkView, ResourceView } from '../../../shared/contracts/resource.ts'
import { coerceError } from '../../../shared/platform/errors.ts'
import { hidePasswords } from '../../../shared/platform/hidden-passwords.ts'
import { ANSWER_MS, healthOf } from '../../steps/service-health.ts'
import { painted } from '../../terminal/columns.ts'
import { type Table, tableOf, tableText } from '../../terminal/table.ts'
import { csvOption } from '../common-options.ts'
import { type Credentials, shownTo } from '../../../shared/platform/credentials.ts'
import type { Context } from '../context.ts'
import { EXIT } from '../exit-codes.ts'
import { linksTable } from '../link-table.ts'
import { deploymentsTable, durationText, resourcesTable } from '../tables.ts'

interface ServiceState {
  name: string
  url: string
  state: 'ready' | 'not ready' | 'unreachable'
  version?: string
  /** As the service says: its start by its own clock is nothing to compare with the clock here. */
  uptimeMs?: number
  redis?: string
  problem?: string
}

export interface Status {
  ok: boolean
  /** How the services were found. */
  found: string
  system?: { portBase: number; pid: number; startedAt: string; dataDir: string; redis?: string }
  services: ServiceState[]
  resources: (ResourceView & Pick<ServiceState, 'version' | 'uptimeMs'>)[]
  links: LinkView[]
  deployments: DeploymentView[]
  problems: string[]
}

export function defineStatus(command: Command, context: Context): void {
  command.addOption(csvOption()).action(async () => {
    const status = await readStatus(context)
    context.printTable(status, partsTable, statusText)
    if (!status.ok) {
      const isAway = status.services.some(({ state }) => state === 'unreachable')
      process.exitCode = isAway ? EXIT.unreachable : EXIT.failed
    }
  })
}

async function readStatus({ services: found, planner, credentials }: Context): Promise<Status> {
  const services = await Promise.all([
    stateOf('benchmark', found.benchmark, credentials),
    stateOf('planner', found.planner, credentials),
  ])
  const problems: string[] = []
  const list = async <T>(what: string, read: () => Promise<T[]>): Promise<T[]> => {
    if (services[1]?.state === 'unreachable') return []
    return read().catch((thrown: unknown) => {
      problems.push(`the ${what} cannot be read: ${coerceError(thrown).message}`)
      return []
    })
  }
  const [resources, links, deployments] = await Promise.all([
    list('resources', planner.resources),
    list('links', planner.links),
    list('deployments', planner.deployments),
  ])
  const machines = await Promise.all(resources.map((one) => withVersion(one, credentials)))
  problems.push(...problemsOf({ services, resources: machines, deployments }))
  const { system } = found
  return {
    ok: problems.length === 0,
    found: found.found,
    ...(system && {
      system: {
        portBase: system.portBase,
        pid: system.pid,
        startedAt: system.startedAt,
        dataDir: system.dataDir,
        ...(system.redis && { redis: `${system.redis.kind}, ${hidePasswords(system.redis.url)}` }),
      },
    }),
    services,
    resources: machines,
    links,
    deployments,
    problems,
  }
}

async function stateOf(name: string, url: string, credentials: Credentials): Promise<ServiceState> {
  const client = createJsonClient(`${name} service`, url, undefined, shownTo(name, credentials))
  try {
    const { version, uptimeMs, redis } = await healthOf(client)
    const about = {
      name,
      url: hidePasswords(url),
      version,
      ...(uptimeMs !== undefined && { uptimeMs }),
      ...(redis !== undefined && { redis }),
    }
    const problem = await client.send({ url: '/readyz', timeout: ANSWER_MS }).then(
      () => undefined,
      (thrown: unknown) => coerceError(thrown).message,
    )
    return problem === undefined ? { ...about, state: 'ready' } : { ...about, state: 'not ready', problem }
  } catch (thrown) {
    return {
      name,
      url: hidePasswords(url),
      state: 'unreachable',
      problem: hidePasswords(coerceError(thrown).message),
    }
  }
}

async function withVersion(
  resource: ResourceView,
  credentials: Credentials,
): Promise<Status['resources'][number]> {
  if (!resource.alive) return resource
  const { version, uptimeMs } = await stateOf(resource.name, resource.url, credentials)
  return {
    ...resource,
    ...(version !== undefined && { version }),
    ...(uptimeMs !== undefined && { uptimeMs }),
  }
}

function problemsOf({
  services,
  resources,
  deployments,
}: Pick<Status, 'services' | 'resources' | 'deployments'>): string[] {
  const versions = new Set([...services, ...resources].flatMap(({ version }) => version ?? []))
  return [
    ...services.flatMap(({ name, problem }) =>
      problem === undefined ? [] : [`${name} service: ${problem}`],
    ),
    ...resources.flatMap(({ name, alive, source, heartbeatAt, version, url }) => {
      if (source === 'imported') return []
      if (!alive) return [`resource ${name} is lost: no sign of life since ${heartbeatAt}`]
      return version === undefined ? [`resource ${name} does not answer at ${url}`] : []
    }),
    ...deployments.flatMap(({ id, state, error }) =>
      state === 'ready' ? [] : [`deployment ${id} is ${state}${error === undefined ? '' : `: ${error}`}`],
    ),
    ...(versions.size > 1 ? [`services of different versions: ${[...versions].sort().join(', ')}`] : []),
  ]
}

/** Everything in one list, for programs. */
const partsTable = ({ services, resources, links, deployments }: Status): Table =>
  tableOf(
    [
      ...services.map(({ name, url, state, version }) => ({ kind: 'service', name, state, url, version })),
      ...resources.map(({ name, url, alive, source, version }) => {
        const state = alive ? 'alive' : source === 'imported' ? 'imported' : 'lost'
        return { kind: 'resource', name, state, url, version }
      }),
      ...links.map(({ from, to, source }) => ({
        kind: 'link',
        name: `${from} → ${to}`,
        state: source,
        url: '',
        version: undefined,
      })),
      ...deployments.map(({ id, state, entry }) => {
        const url = `${entry.url}/v2/models/${id}`
        return { kind: 'deployment', name: id, state, url, version: undefined }
      }),
    ],
    {
      kind: ({ kind }) => kind,
      name: ({ name }) => name,
      state: ({ state }) => state,
      address: ({ url }) => url,
      version: ({ version }) => version ?? '',
    },
  )

function statusText({ found, system, services, resources, links, deployments, problems }: Status): string {
  const table = tableOf(
    services,
    {
      service: ({ name }) => name,
      state: ({ state }) => painted(state, state === 'ready' ? colour.green : colour.red),
      version: ({ version }) => version ?? '',
      up: ({ uptimeMs }) => (uptimeMs === undefined ? '' : { text: durationText(uptimeMs), value: uptimeMs }),
      address: ({ url }) => url,
      Redis: ({ redis }) => redis ?? '',
    },
    { expendable: ['Redis', 'up', 'version'] },
  )
  return [
    `system: ${found}${system ? `, started at ${system.startedAt}` : ''}`,
    ...(system ? [`  data in ${system.dataDir}${system.redis ? `; Redis: ${system.redis}` : ''}`] : []),
    tableText(table),
    ...(services.some(({ name, state }) => name === 'planner' && state === 'unreachable')
      ? ['\nresources, links and deployments are not known: the planner cannot be reached']
      : [resourcesTable(resources), linksTable(links), deploymentsTable(deployments)].map(
          (part) => `\n${tableText(part)}`,
        )),
    '',
    ...problems.map((problem) => colour.red(`problem: ${problem}`)),
    ...(problems.length === 0 ? [colour.green('all is well')] : []),
  ].join('\n')
}
