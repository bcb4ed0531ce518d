/** JSON Schema as a few words for a table. */
import { z } from 'zod'

/** As much of a schema as is shown. */
export interface Schema {
  type?: string | undefined
  description?: string | undefined
  enum?: unknown[] | undefined
  default?: unknown
  pattern?: string | undefined
  properties?: Record<string, Schema> | undefined
  required?: string[] | undefined
  items?: Schema | undefined
  additionalProperties?: boolean | Schema | undefined
  anyOf?: Schema[] | undefined
  allOf?: Schema[] | undefined
}

export const SchemaNode: z.ZodType<Schema> = z.lazy(() =>
  z.object({
    type: z.union([z.string(), z.array(z.string()).transform((names) => names.join(' or '))]).optional(),
    description: z.string().optional(),
    enum: z.array(z.unknown()).optional(),
    default: z.unknown().optional(),
    pattern: z.string().optional(),
    properties: z.record(z.string(), SchemaNode).optional(),
    required: z.array(z.string()).optional(),
    items: SchemaNode.optional(),
    additionalProperties: z.union([z.boolean(), SchemaNode]).optional(),
    anyOf: z.array(SchemaNode).optional(),
    allOf: z.array(SchemaNode).optional(),
  }),
)

export interface Field {
  name: string
  required: boolean
  schema: Schema
}

/** The fields of an object; of a choice between objects those of all, required only if all require them. */
export function fieldsOf(schema: Schema): Field[] {
  const choices = schema.anyOf ?? schema.allOf
  if (choices) {
    const all = choices.map(fieldsOf)
    const names = [...new Set(all.flatMap((fields) => fields.map(({ name }) => name)))]
    return names.map((name) => {
      const found = all.flatMap((fields) => fields.filter((field) => field.name === name))
      const required = found.every((field) => field.required)
      return {
        name,
        required: required && (schema.allOf !== undefined || found.length === all.length),
        schema: found[0]!.schema,
      }
    })
  }
  return Object.entries(schema.properties ?? {}).map(([name, property]) => ({
    name,
    required: (schema.required ?? []).includes(name),
    schema: property,
  }))
}

/** `string`, `"clean" or "any", default "clean"`, `number[]`, `object { … }`. */
export function typeOf(schema: Schema): string {
  const words = bareType(schema)
  return schema.default === undefined ? words : `${words}; default ${JSON.stringify(schema.default)}`
}

function bareType(schema: Schema): string {
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(' or ')
  const choices = schema.anyOf ?? schema.allOf
  if (choices) return [...new Set(choices.map(bareType))].join(' or ')
  if (schema.type === 'array') return schema.items ? `list of ${bareType(schema.items)}` : 'list'
  if (schema.type !== 'object') return schema.type ?? 'any'
  if (schema.properties) return `object { ${Object.keys(schema.properties).join(', ')} }`
  const values = schema.additionalProperties
  return typeof values === 'object' ? `object: name → ${bareType(values)}` : 'object'
}
