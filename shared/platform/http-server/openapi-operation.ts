/** Describes one route: its parameters, its body, and everything that it can answer. */
import { z } from 'zod'
import { AT_LEAST_HEADER, REVISION_HEADER } from '../redis/revision.ts'
import type { Answer, Content, Route } from './route.ts'
import type { Components, JsonSchema } from './openapi-components.ts'
import { tellsRevision } from './revisions.ts'
import { describeFailure, failureSchema, failuresOf } from './openapi-failures.ts'

const JSON_TYPE = 'application/json'
const BYTES = { type: 'string', format: 'binary' }

const AtLeast = z.object({
  [AT_LEAST_HEADER]: z
    .string()
    .optional()
    .meta({
      description:
        `An answer's \`${REVISION_HEADER}\`, or \`latest\`: the answer is made of a state at least that new. If this service ` +
        'does not come so far within 10 s, the answer is a 504.',
      examples: ['latest'],
    }),
})
const REVISION = { [REVISION_HEADER]: 'That of the shared state; no older than what the answer is made of' }

/** Template of OpenAPI for a path of Express: `/v1/models/{model}`. */
export const templateOf = (path: string): string => path.replaceAll(/[:*](\w+)/g, '{$1}')

export function operationOf(route: Route, components: Components): Record<string, unknown> {
  const body = requestBody(route, components)
  return {
    operationId: route.id,
    ...(route.tag && { tags: [route.tag.name] }),
    summary: route.summary,
    ...(route.description && { description: route.description }),
    // Nothing is asked on a service that only its own machine reaches.
    security: route.access === 'anyone' ? [] : [{ token: [] }, {}],
    'x-access': route.access,
    parameters: [
      ...parameters(route.params, 'path', components),
      ...parameters(route.query, 'query', components),
      ...parameters(route.headers, 'header', components),
      ...(route.alone ? [] : parameters(AtLeast, 'header', components)),
    ],
    ...(body && { requestBody: body }),
    responses: responses(route, components),
  }
}

function parameters(
  schema: z.ZodType | undefined,
  place: 'path' | 'query' | 'header',
  components: Components,
): JsonSchema[] {
  if (!schema) return []
  // A copy has no name: its fields are needed, not a reference to it.
  const { properties = {}, required = [] } = components.of(schema.clone(schema.def), 'input') as {
    properties?: Record<string, JsonSchema>
    required?: string[]
  }
  return Object.entries(properties).map(([name, property]) => {
    const { description, ...written } = asParameter(property)
    return {
      name,
      in: place,
      required: place === 'path' || required.includes(name),
      ...(description !== undefined && { description }),
      // Lists are comma-separated: `tiers=edge,cloud`.
      ...(place === 'query' && written['type'] === 'array' && { style: 'form', explode: false }),
      schema: written,
    }
  })
}

/** A field's schema in a URL or a header, where it may have another form than in JSON. */
function asParameter({ inUrl, ...inJson }: JsonSchema): JsonSchema {
  if (inUrl === undefined) return inJson
  const { description, examples, default: fallback } = inJson
  return Object.fromEntries(
    Object.entries({ description, examples, default: fallback, ...(inUrl as JsonSchema) }).filter(
      ([, value]) => value !== undefined,
    ),
  )
}

function requestBody(route: Route, components: Components): JsonSchema | undefined {
  if (route.rawBody) {
    const { description, optional, content } = route.rawBody
    return { description, required: !optional, content: contentOf(content, 'input', components) }
  }
  if (!route.body) return undefined
  return {
    // An empty body is read as {}.
    required: !route.body.safeParse({}).success,
    content: contentOf({ [JSON_TYPE]: { schema: route.bodyForms ?? route.body } }, 'input', components),
  }
}

/** Without a schema, content is bytes. */
function contentOf(content: Content, direction: 'input' | 'output', components: Components): JsonSchema {
  return Object.fromEntries(
    Object.entries(content).map(([type, { schema, example, encoding }]) => [
      type,
      {
        schema: schema ? components.of(schema, direction) : BYTES,
        ...(example !== undefined && { example }),
        ...(encoding && { encoding }),
      },
    ]),
  )
}

function responses(route: Route, components: Components): JsonSchema {
  const described: JsonSchema = {}
  for (const [status, answer] of Object.entries(route.answers)) {
    const told = tellsRevision(route) && !answer.events ? REVISION : {}
    described[status] = response({ ...answer, headers: { ...answer.headers, ...told } }, components)
  }
  for (const [status, codes] of failuresOf(route)) {
    described[status] ??= {
      description: describeFailure(route.path, codes),
      ...(status === 503 && { headers: headersOf({ 'Retry-After': 'Seconds to wait' }) }),
      content: { [JSON_TYPE]: { schema: components.of(failureSchema(route.path), 'output') } },
    }
  }
  return described
}

function response(answer: Answer, components: Components): JsonSchema {
  const { description, headers, events } = answer
  return {
    description,
    ...(headers && Object.keys(headers).length > 0 && { headers: headersOf(headers) }),
    ...(events ? { content: eventStream(events, components) } : bodyOf(answer, components)),
  }
}

function bodyOf({ schema, contentType, content }: Answer, components: Components): JsonSchema {
  if (content) return { content: contentOf(content, 'output', components) }
  if (!schema && contentType === undefined) return {}
  return {
    content: contentOf({ [contentType ?? JSON_TYPE]: schema ? { schema } : {} }, 'output', components),
  }
}

/**
 * OpenAPI 3.1 has no words for a stream of events. The schema is written as tools read it that know streams: it describes
 * one event. It has no `type`, so it says nothing wrong about the text as a whole either.
 */
function eventStream(events: Record<string, z.ZodType>, components: Components): JsonSchema {
  const names = Object.keys(events)
  return {
    'text/event-stream': {
      schema: {
        description:
          'Server-sent events: `id`, `event` and `data`, which is JSON on one line, then an empty line. Lines that ' +
          `begin with a colon are no events. \`event\` is ${names.join(', ')}.`,
        anyOf: Object.entries(events).map(([name, data]) => ({
          properties: {
            id: { type: 'string' },
            event: { const: name },
            data: {
              type: 'string',
              contentMediaType: JSON_TYPE,
              contentSchema: components.of(data, 'output'),
            },
          },
        })),
      },
      example: `id: ${names[0]}.0123456789abcdef\nevent: ${names[0]}\ndata: {}\n\n`,
    },
  }
}

const headersOf = (headers: Record<string, string>): JsonSchema =>
  Object.fromEntries(
    Object.entries(headers).map(([name, description]) => [name, { description, schema: { type: 'string' } }]),
  )
