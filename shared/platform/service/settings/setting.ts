/** What a setting is, and the kinds of values that several have. */
import { z } from 'zod'
import { Secret } from '../../access/secret.ts'

export interface Setting<T extends z.ZodType> {
  env: string
  schema: T
  /** Default, as written in the environment; absent = the variable is required. */
  fallback?: string | undefined
  why: string
  /** A secret is read from the file that the variable with _FILE at its end names, or from the variable itself. */
  secret?: true
}

export const secret = (env: string, why: string) =>
  ({
    env,
    schema: z.instanceof(Secret).optional(),
    fallback: '',
    why,
    secret: true,
  }) satisfies Setting<z.ZodType>

export const setting = <T extends z.ZodType>(
  env: string,
  schema: T,
  fallback: string | undefined,
  why: string,
) => ({ env, schema, fallback, why }) satisfies Setting<T>

export const integer = (min: number, max = Number.MAX_SAFE_INTEGER) =>
  z.coerce.number().int().min(min).max(max)
/** Milliseconds. Node's timers take no more, 24.8 days: beyond that they fire at once, again and again. */
export const duration = (min: number) => integer(min, 2 ** 31 - 1)
export const port = integer(0, 65_535)
export const list = <T extends z.ZodType>(item: T) =>
  z.preprocess(
    (text) => (typeof text === 'string' ? text.split(',').map((part) => part.trim()) : text),
    z.array(item).min(1),
  )
export function json<T extends z.ZodType>(schema: T) {
  return z.preprocess((text, context) => {
    if (typeof text !== 'string') return text
    try {
      return JSON.parse(text) as unknown
    } catch {
      context.issues.push({ code: 'custom', message: 'is not JSON', input: text })
      return z.NEVER
    }
  }, schema)
}

export const MIB = 1024 * 1024

/** Of another service; the empty text if it is not known. */
export const otherUrl = z.union([z.literal(''), z.url()])
export const plannerUrl = setting(
  'SCISSION_PLANNER_URL',
  otherUrl,
  '',
  'for links to it on `/` and `/docs`; empty = no link',
)

export const Flag = z.enum(['', '0', '1']).transform((text) => text === '1')
export const names = z.preprocess(
  (text) =>
    typeof text === 'string'
      ? text
          .split(',')
          .map((part) => part.trim())
          .filter(Boolean)
      : text,
  z.array(z.string()),
)
