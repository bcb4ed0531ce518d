/** What is wrong in a file that a person wrote, field by field. */
import type { z } from 'zod'
import { nearest } from '../../shared/platform/nearest.ts'
import { plainWords } from '../../shared/platform/plain-words.ts'

/**
 * What is wrong in a file that a person wrote: `links[0].rttMs: must be a number, not a text`.
 * @param schema of the file: a field that is misspelt is told with the one that it may be.
 */
export const fileFaults = (error: z.ZodError, schema: z.ZodType): string[] =>
  error.issues.map((issue) => {
    const field = fieldText(issue.path)
    const known = issue.code === 'unrecognized_keys' ? fieldsAt(schema, issue.path) : []
    const hint =
      issue.code === 'unrecognized_keys' && known.length > 0 ? nearest(issue.keys[0] ?? '', known) : ''
    return `${field}${field && ': '}${plainWords(issue.message)}${hint}`
  })

/** `profiles[0].layerMs[3]` */
const fieldText = (path: readonly PropertyKey[]): string =>
  path
    .map((part, at) => (typeof part === 'number' ? `[${part}]` : `${at > 0 ? '.' : ''}${String(part)}`))
    .join('')

/** The names of the fields of an object in a schema; none if there is no object at the path. */
function fieldsAt(schema: z.ZodType, path: readonly PropertyKey[]): string[] {
  let at: unknown = schema
  for (const part of [...path, undefined]) {
    at = unwrapped(at)
    if (part === undefined) break
    at = typeof part === 'number' ? defOf(at)?.element : shapeOf(at)?.[String(part)]
  }
  return Object.keys(shapeOf(at) ?? {})
}

interface Def {
  innerType?: unknown
  in?: unknown
  element?: unknown
}
const defOf = (schema: unknown): Def | undefined => (schema as { def?: Def } | undefined)?.def
const shapeOf = (schema: unknown) => (schema as { shape?: Record<string, unknown> } | undefined)?.shape

/** Without defaults, options and changes around it. */
function unwrapped(schema: unknown): unknown {
  const def = defOf(schema)
  const inner = def?.innerType ?? def?.in
  return inner === undefined ? schema : unwrapped(inner)
}
