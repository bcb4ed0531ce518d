/** Makes the OpenAPI 3.1 description of a list of routes from their zod schemas. */
import { z } from 'zod'
import { ErrorBody } from './error-answers.ts'
import type { Route } from './route.ts'

const jsonSchema = (schema: z.ZodType, io: 'input' | 'output') =>
  z.toJSONSchema(schema, { target: 'openapi-3.0', io, unrepresentable: 'any' })

function parameters(schema: z.ZodType | undefined, place: 'path' | 'query'): unknown[] {
  if (!schema) return []
  const object = jsonSchema(schema, 'input') as { properties?: Record<string, unknown>; required?: string[] }
  return Object.entries(object.properties ?? {}).map(([name, property]) => ({
    name,
    in: place,
    required: place === 'path' || (object.required ?? []).includes(name),
    schema: property,
  }))
}

function requestBody(route: Route): unknown {
  if (route.body)
    return { required: true, content: { 'application/json': { schema: jsonSchema(route.body, 'input') } } }
  if (!route.rawBody) return undefined
  const { contentType, description } = route.rawBody
  return {
    required: true,
    description,
    content: { [contentType]: { schema: { type: 'string', format: 'binary' } } },
  }
}

function responses(route: Route): Record<string, unknown> {
  const known = Object.entries(route.answers).map(([status, answer]) => {
    const type = answer.contentType ?? 'application/json'
    const content = answer.schema
      ? { [type]: { schema: jsonSchema(answer.schema, 'output') } }
      : answer.contentType && { [type]: { schema: { type: 'string', format: 'binary' } } }
    return [status, { description: answer.description, ...(content && { content }) }]
  })
  const failure = {
    description: 'An error; its code says which',
    content: { 'application/json': { schema: jsonSchema(ErrorBody, 'output') } },
  }
  return { ...Object.fromEntries(known), default: failure }
}

export function openApiOf(name: string, version: string, routes: readonly Route[]): Record<string, unknown> {
  const paths: Record<string, Record<string, unknown>> = {}
  for (const route of routes) {
    const path = route.path.replaceAll(/[:*](\w+)/g, '{$1}')
    const body = requestBody(route)
    paths[path] = {
      ...paths[path],
      [route.method]: {
        summary: route.summary,
        ...(route.description && { description: route.description }),
        parameters: [...parameters(route.params, 'path'), ...parameters(route.query, 'query')],
        ...(body !== undefined && { requestBody: body }),
        responses: responses(route),
      },
    }
  }
  return { openapi: '3.1.0', info: { title: `Scission ${name} service`, version }, paths }
}
