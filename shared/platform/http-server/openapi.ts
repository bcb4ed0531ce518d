/** Makes the OpenAPI 3.1 description of a service from the declarations of its routes. */
import type { Route, Tag } from './route.ts'
import { Components } from './openapi-components.ts'
import { nameContracts } from './contract-names.ts'
import { operationOf, templateOf } from './openapi-operation.ts'

export interface Described {
  /** `benchmark` */
  name: string
  version: string
  /** What the service is for, in Markdown. */
  description: string
}

export function openApiOf(service: Described, routes: readonly Route[]): Record<string, unknown> {
  nameContracts()
  const components = new Components()
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    const template = templateOf(route.path)
    paths[template] = { ...paths[template], [route.method]: operationOf(route, components) }
  }
  const described = components.finish({
    openapi: '3.1.0',
    info: {
      title: `Scission ${service.name} service`,
      version: service.version,
      description: `${service.description}\n\n${CONVENTIONS}`,
      license: { name: 'Apache 2.0', identifier: 'Apache-2.0' },
    },
    servers: [{ url: '/' }],
    // Where nothing is asked, the empty one of an operation's two holds: docs/reference/access.md.
    security: [],
    tags: tagsOf(routes).map(({ name, description }) => ({ name, description })),
    paths,
  })
  return {
    ...described,
    components: { ...(described['components'] as object), securitySchemes: { token: TOKEN } },
  }
}

const TOKEN = { type: 'http', scheme: 'bearer', bearerFormat: 'scn_ID_SECRET' }

const CONVENTIONS =
  'JSON is camelCase; fields end in their unit (`Ms` milliseconds, `Bytes`, `Mbps` 10^6 bit/s). Lists come in pages: ' +
  '`next`, if present, is the `cursor` of the next one. A method that a path does not have is answered with 405 and ' +
  '`Allow`, bytes that are no HTTP request with 400, 408, 413, 417 or 431.'

function tagsOf(routes: readonly Route[]): Tag[] {
  const tags = new Map<string, Tag>()
  for (const { tag } of routes) if (tag) tags.set(tag.name, tag)
  return [...tags.values()]
}
