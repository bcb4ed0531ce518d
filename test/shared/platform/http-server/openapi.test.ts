/** The OpenAPI descriptions of the three services: valid for a foreign validator, complete, and with examples that hold. */
import { compileErrors, validate } from '@readme/openapi-parser'
import { Ajv2020 } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { beforeAll, describe, expect, it } from 'vitest'
import { z } from 'zod'
import { EXAMPLES } from '../../../../shared/contracts/examples.ts'
import { CONTRACTS } from '../../../../shared/platform/http-server/contract-names.ts'
import { readDescriptions } from '../../../support/descriptions.ts'

const SERVICES = ['benchmark', 'planner', 'inference'] as const

const Response = z.looseObject({
  description: z.string().min(1),
  content: z.record(z.string(), z.looseObject({ schema: z.record(z.string(), z.unknown()) })).optional(),
})
const Operation = z.looseObject({
  operationId: z.string().regex(/^[a-z][A-Za-z]+$/),
  tags: z.array(z.string()).length(1),
  summary: z.string().min(1),
  parameters: z.array(
    z.looseObject({
      name: z.string(),
      in: z.string(),
      schema: z.looseObject({ examples: z.array(z.unknown()).optional() }),
    }),
  ),
  requestBody: z.looseObject({ content: z.record(z.string(), z.looseObject({})) }).optional(),
  responses: z.record(z.string(), Response),
})
const Description = z.looseObject({
  tags: z.array(z.looseObject({ name: z.string(), description: z.string().min(1) })),
  paths: z.record(z.string(), z.record(z.string(), Operation)),
  components: z.looseObject({ schemas: z.record(z.string(), z.looseObject({})) }),
})
type Description = z.infer<typeof Description>

let found: Map<string, unknown>
beforeAll(async () => {
  found = await readDescriptions()
})
/** A copy: a validator may resolve references in place. */
const read = (service: string): Description => Description.parse(structuredClone(found.get(service)))
const operationsOf = ({ paths }: Description) =>
  Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, operation]) => ({ path, method, ...operation })),
  )

interface Node {
  /** JSON pointer. */
  at: string
  value: Record<string, unknown>
}
const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

function nodesOf(value: unknown, at = '#'): Node[] {
  if (Array.isArray(value)) return value.flatMap((inner, index) => nodesOf(inner, `${at}/${index}`))
  if (!isRecord(value)) return []
  const escaped = (key: string) => encodeURIComponent(key.replaceAll('~', '~0').replaceAll('/', '~1'))
  const below = Object.entries(value).flatMap(([key, inner]) =>
    ['example', 'examples', 'default', 'const', 'enum'].includes(key)
      ? []
      : nodesOf(inner, `${at}/${escaped(key)}`),
  )
  return [{ at, value }, ...below]
}

describe.each(SERVICES)('the description of the %s service', (service) => {
  it('is valid OpenAPI 3.1 for a foreign validator', async () => {
    const result = await validate(read(service) as unknown as Parameters<typeof validate>[0])
    expect(result.valid ? '' : compileErrors(result)).toBe('')
    expect(read(service)['openapi']).toBe('3.1.0')
  })

  it('names every operation once, in a group that is described', () => {
    const description = read(service)
    const operations = operationsOf(description)
    const ids = operations.map(({ operationId }) => operationId)
    expect([...new Set(ids)]).toEqual(ids)
    const groups = description.tags.map(({ name }) => name)
    for (const { tags } of operations) expect(groups).toContain(tags[0])
  })

  it('says of every status what it is and what it holds, and promises no other', () => {
    for (const { path, method, responses, tags } of operationsOf(read(service))) {
      expect(Object.keys(responses), `${method} ${path}`).not.toContain('default')
      const end = tags.includes('Refused') ? /^501$/ : /^[23]/
      expect(Object.keys(responses).some((status) => end.test(status))).toBe(true)
      for (const [status, { content }] of Object.entries(responses)) {
        if (Number(status) < 400) continue
        const schema = content?.['application/json']?.schema
        expect(schema, `${method} ${path}: ${status}`).toBeDefined()
        const names = path.startsWith('/v2')
          ? ['ProtocolError', 'ServerReadiness', 'ModelReadiness']
          : ['Error', 'Readiness']
        expect(names.map((name) => `#/components/schemas/${name}`)).toContain(schema?.['$ref'])
      }
    }
  })

  it('refers to every component, and to none that is not there', () => {
    const description = read(service)
    const references = nodesOf(description).flatMap(({ value }) =>
      typeof value['$ref'] === 'string' ? [value['$ref'].replace('#/components/schemas/', '')] : [],
    )
    expect([...new Set(references)].sort()).toEqual(Object.keys(description.components.schemas).sort())
  })

  it('keeps what is for its making to itself', () => {
    expect(nodesOf(read(service)).filter(({ value }) => 'inUrl' in value || '$defs' in value)).toEqual([])
  })

  it('gives examples that may be sent together', () => {
    for (const { path, method, parameters } of operationsOf(read(service))) {
      const examplesOf = (name: string) =>
        parameters.find((parameter) => parameter.name === name)?.schema.examples ?? []
      const place = `${method} ${path}`
      if (path.includes('/layers/'))
        for (const model of examplesOf('model')) expect(model, place).not.toContain(':')
      // A page of documentation fills it in, and its body is JSON as a whole.
      expect(examplesOf('Inference-Header-Content-Length'), place).toEqual([])
    }
  })

  it('gives examples that pass their schemas, one at least of each body that a client writes', () => {
    const description = read(service)
    const ajv = new Ajv2020({ strict: false, allErrors: true })
    addFormats.default(ajv)
    ajv.addSchema({ $id: 'description', ...description })
    let examples = 0
    for (const { at, value } of nodesOf(description)) {
      const media = 'schema' in value && 'example' in value
      const given = media ? [value['example']] : Array.isArray(value['examples']) ? value['examples'] : []
      for (const example of given) {
        examples += 1
        const check = ajv.compile({ $ref: `description${at}${media ? '/schema' : ''}` })
        expect(check(example), `${at}: ${ajv.errorsText(check.errors)}`).toBe(true)
      }
    }
    expect(examples).toBeGreaterThan(5)
  })
})

describe('the examples of contracts', () => {
  it.each(Object.entries(EXAMPLES))('%s passes its contract', (name, example) => {
    expect(CONTRACTS.get(name)?.safeParse(example)).toMatchObject({ success: true })
  })
})
