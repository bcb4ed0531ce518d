/** docs/reference/api.md: every endpoint of the three services, from the OpenAPI descriptions that they serve. */
import { z } from 'zod'
import { readDescriptions } from '../../support/descriptions.ts'
import { code, page, table } from './markdown.ts'
import { fieldsOf, type Schema, SchemaNode, typeOf } from './schema-text.ts'

const INTRODUCTION = `Each service serves this description at \`/openapi.json\` and, to be tried out, at \`/docs\`. JSON is camelCase; fields end in
their unit: \`…Ms\` milliseconds, \`…Bytes\` bytes, \`…Mbps\` 10^6 bit/s. Where a path takes a \`{model}\`, its id, its name (then the
highest version) and \`name@version\` will do. Long lists come in pages: \`next\`, if present, is the \`cursor\` of the next one.
Errors are described [on a page of their own](errors.md).

\`\`\`sh
curl -sf http://127.0.0.1:8081/openapi.json | head -c 300; echo
\`\`\`

## All services

| endpoint | answers with |
|---|---|
| \`GET /\` | what the service is, where to begin, and links: JSON, or a page for a browser |
| \`GET /healthz\` | name and version of the service, for how long it is up (\`uptimeMs\`), and what it stands on (for example the kind of Redis); 200 as long as the process answers |
| \`GET /readyz\` | 200 if the service can do its work, else 503 with the reason |
| \`GET /metrics\` | [metrics](metrics.md) for Prometheus |
| \`GET /openapi.json\` | the OpenAPI description of the service |
| \`GET /docs\` | the same as a page to try it out |`

const ABOUT: Record<string, string> = {
  benchmark: 'Port 8081 by default. Keeps models, has them measured, and gives out layer ranges.',
  planner:
    'Port 8082 by default. [Plan queries](plan-query.md) explains the fields of a query and of its answer.',
  inference:
    'Port 8090 by default, one service per machine. `/v2` is the Open Inference Protocol; ' +
    '[requests and answers](requests-and-answers.md) says what this service adds to it. The other paths are what the ' +
    'services ask of each other.',
}

const Parameter = z.object({
  name: z.string(),
  in: z.string(),
  required: z.boolean(),
  schema: SchemaNode,
})
const Content = z.record(z.string(), z.object({ schema: SchemaNode.optional() }))
const Operation = z.object({
  tags: z.array(z.string()),
  summary: z.string(),
  description: z.string().optional(),
  parameters: z.array(Parameter),
  requestBody: z.object({ description: z.string().optional(), content: Content }).optional(),
  responses: z.record(z.string(), z.object({ description: z.string(), content: Content.optional() })),
})
type Operation = z.infer<typeof Operation>
const Description = z.object({ paths: z.record(z.string(), z.record(z.string(), Operation)) })

export async function apiPage(): Promise<string> {
  const parts: string[] = []
  for (const [service, served] of await readDescriptions()) {
    const description = Description.parse(served)
    parts.push(`## ${service[0]!.toUpperCase()}${service.slice(1)} service`, ABOUT[service] ?? '')
    for (const [address, operations] of Object.entries(description.paths))
      for (const [method, operation] of Object.entries(operations))
        if (!operation.tags.includes('Service')) parts.push(...endpoint(method, address, operation))
  }
  return page('API', INTRODUCTION, ...parts)
}

function endpoint(method: string, address: string, operation: Operation): string[] {
  const { summary, description, parameters, requestBody, responses } = operation
  return [
    `### ${method.toUpperCase()} ${address}`,
    `${summary}.${description === undefined ? '' : ` ${description}`}`,
    ...(parameters.length === 0 ? [] : [parametersTable(parameters)]),
    ...(requestBody ? bodyText(requestBody) : []),
    table(['status', 'answer'], answersOf(responses)),
  ]
}

function parametersTable(parameters: Operation['parameters']): string {
  const explained = parameters.some(({ schema }) => schema.description !== undefined)
  return table(
    ['parameter', 'in', 'type', ...(explained ? ['meaning'] : [])],
    parameters.map(({ name, in: place, required, schema }) => [
      `${code(name)}${required ? '' : ' (optional)'}`,
      place,
      typeOf(schema),
      ...(explained ? [schema.description ?? ''] : []),
    ]),
  )
}

function bodyText({ description, content }: NonNullable<Operation['requestBody']>): string[] {
  return Object.entries(content).flatMap(([type, { schema }]) => {
    const head = `Body: ${code(type)}${description === undefined ? '' : `. ${description}`}.`
    const fields = schema ? fieldsOf(schema) : []
    if (fields.length === 0) return [head]
    const rows = fields.map(({ name, required, schema: field }) => [
      `${code(name)}${required ? '' : ' (optional)'}`,
      typeOf(field),
    ])
    return [head, table(['field', 'type'], rows)]
  })
}

function answersOf(responses: Operation['responses']): string[][] {
  return Object.entries(responses)
    .filter(([status]) => status !== 'default')
    .map(([status, { description, content = {} }]) => {
      const bodies = Object.entries(content).map(([type, { schema }]) => contentText(type, schema))
      return [status, [description, ...bodies].join('. ')]
    })
}

function contentText(type: string, schema: Schema | undefined): string {
  if (type !== 'application/json') return code(type)
  const names = schema ? fieldsOf(schema).map(({ name, required }) => `${name}${required ? '' : '?'}`) : []
  return names.length === 0 ? 'JSON' : code(`{ ${names.join(', ')} }`)
}
