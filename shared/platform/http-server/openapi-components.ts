/**
 * JSON Schemas of a description. A schema with a name (`id` in its metadata: contract-names.ts) is written once, under
 * `components`, and referred to elsewhere. What a client sends and what it receives may differ for one name (a field with
 * a default may be left out by the client, but is always answered): then the form that is sent is called `…Input`.
 */
import { isDeepStrictEqual } from 'node:util'
import { z } from 'zod'

export type Direction = 'input' | 'output'
export type JsonSchema = Record<string, unknown>

const PREFIX = '#/components/schemas/'
const marked = (direction: Direction, name: string) => `${PREFIX}${direction}:${name}`

export class Components {
  readonly #found = { input: new Map<string, JsonSchema>(), output: new Map<string, JsonSchema>() }

  /** The schema, in which references are provisional until `finish`. */
  of(schema: z.ZodType, direction: Direction): JsonSchema {
    const {
      $schema: _,
      $defs,
      ...whole
    } = z.toJSONSchema(schema, {
      io: direction,
      unrepresentable: 'any',
      override: ({ zodSchema, jsonSchema }) => {
        // Answers get new fields in later versions, which a client has to pass over.
        if (direction === 'output' && isPlainObject(zodSchema)) delete jsonSchema.additionalProperties
        if (zodSchema instanceof z.ZodTuple) closeTuple(jsonSchema)
      },
    })
    const refer = (value: unknown) =>
      mapReferences(value, (to) => marked(direction, to.slice('#/$defs/'.length))) as JsonSchema
    for (const [name, definition] of Object.entries($defs ?? {})) {
      const { id: _id, ...rest } = definition
      this.#found[direction].set(name, refer(rest))
    }
    return refer(whole)
  }

  /** Settles all references in a description. @returns it, with the components that it refers to. */
  finish(description: Record<string, unknown>): Record<string, unknown> {
    const differing = this.#differing()
    const settle = (value: unknown) =>
      mapReferences(value, (to) => {
        if (!to.startsWith(PREFIX)) return to
        const [direction, name = ''] = to.slice(PREFIX.length).split(':')
        return `${PREFIX}${direction === 'input' && differing.has(name) ? `${name}Input` : name}`
      })
    const { input, output } = this.#found
    const schemas = new Map(
      [...input].map(([name, schema]) => [differing.has(name) ? `${name}Input` : name, schema]),
    )
    for (const [name, schema] of output) schemas.set(name, schema)
    const sorted = [...schemas].sort(([a], [b]) => (a < b ? -1 : 1))
    return {
      ...(settle(description) as object),
      components: { schemas: withoutUrlForms(settle(Object.fromEntries(sorted))) },
    }
  }

  /** Names that have two forms, or refer to one that has. */
  #differing(): Set<string> {
    const { input, output } = this.#found
    const both = [...input.keys()].filter((name) => output.has(name))
    const plain = (schema: unknown) =>
      mapReferences(schema, (to) => to.slice(to.indexOf(':', PREFIX.length) + 1))
    const differing = new Set(
      both.filter((name) => !isDeepStrictEqual(plain(input.get(name)), plain(output.get(name)))),
    )
    for (let before = -1; before !== differing.size; ) {
      before = differing.size
      for (const name of both) if (refersTo(input.get(name), differing)) differing.add(name)
    }
    return differing
  }
}

/** Says by its length that a tuple ends: `items: false` is too new for some generators of clients. */
function closeTuple(schema: z.core.JSONSchema.BaseSchema): void {
  const length = schema.prefixItems?.length ?? 0
  delete schema.items
  schema.minItems = length
  schema.maxItems = length
}

/** True for `z.object`, false for `z.strictObject` and `z.looseObject`, which say what they do with other fields. */
function isPlainObject(schema: z.core.$ZodType): boolean {
  return schema instanceof z.ZodObject && schema.def.catchall === undefined
}

/** A copy without what openapi-operation.ts reads of parameters. */
function withoutUrlForms(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(withoutUrlForms)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).flatMap(([key, inner]) => (key === 'inUrl' ? [] : [[key, withoutUrlForms(inner)]])),
  )
}

/** A copy in which every `$ref` is replaced. */
function mapReferences(value: unknown, change: (to: string) => string): unknown {
  if (Array.isArray(value)) return value.map((item) => mapReferences(item, change))
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      key === '$ref' && typeof inner === 'string' ? change(inner) : mapReferences(inner, change),
    ]),
  )
}

function refersTo(schema: unknown, names: ReadonlySet<string>): boolean {
  let found = false
  mapReferences(schema, (to) => {
    found ||= names.has(to.slice(to.indexOf(':', PREFIX.length) + 1))
    return to
  })
  return found
}
