/** Routes: validation, the handler's types and OpenAPI all come from one declaration. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Request, Response } from 'express'
import { z } from 'zod'
import { type ErrorCode, ScissionError } from '../errors.ts'
import type { Access } from '../access/identity.ts'
import { nearest } from '../nearest.ts'

/** Media type → what it holds; without a schema, bytes. An example is held to its schema by a test. */
export type Content = Record<
  string,
  {
    schema?: z.ZodType
    example?: unknown
    /** Of a form: media types of its parts. */
    encoding?: Record<string, { contentType: string }>
  }
>

/** Bytes of any kind. */
export const OCTETS: Content = { 'application/octet-stream': {} }

export interface Answer {
  description: string
  schema?: z.ZodType
  /** @defaultValue application/json */
  contentType?: string
  /** Instead of `schema` and `contentType`, if there are several. */
  content?: Content
  /** Name → what it says. */
  headers?: Record<string, string>
  /** The answer is a stream of server-sent events: name → schema of the data. */
  events?: Record<string, z.ZodType>
}

/** A group of routes in the description. */
export interface Tag {
  name: string
  description: string
}

/** Answers through `res`, or rejects with the error to answer. `params` are the path's parameters, decoded. */
export type DirectHandler = (
  params: Readonly<Record<string, string>>,
  req: IncomingMessage,
  res: ServerResponse,
) => Promise<void>

export interface Route<
  P extends z.ZodType = z.ZodType,
  Q extends z.ZodType = z.ZodType,
  B extends z.ZodType = z.ZodType,
> {
  method: 'get' | 'post' | 'put' | 'delete'
  /** Express 5 path: `/v1/models/:model`. */
  path: string
  /** Name of the operation in generated clients, which a later version keeps: `listModels`. */
  id: string
  /** Who may call it. The name that `about` and `infer` are asked for is the path's `:model`. */
  access: Access
  /** Set for a whole group by `tagged`. */
  tag?: Tag
  summary: string
  description?: string
  params?: P
  query?: Q
  /** Schema of a JSON body. Without it the body is left unread for the handler to stream. */
  body?: B
  /** Items of lists and members of objects that a body may hold. @defaultValue 10,000 */
  maxValues?: number
  /** Describes, for OpenAPI only, the forms of a body whose schema accepts more than it says, by preprocessing. */
  bodyForms?: z.ZodType
  /** Describes, for OpenAPI only, a body that the handler reads itself. */
  rawBody?: { description: string; content: Content; optional?: true }
  /** Describes, for OpenAPI only, headers that the handler reads. */
  headers?: z.ZodObject
  answers: Record<number, Answer>
  /** Codes of errors that it answers with, beside those that follow from its form: openapi-failures.ts. */
  fails?: readonly ErrorCode[]
  /** It needs no Redis. */
  alone?: true
  /** It answers from the service's copy of the shared state, whose revision its answers name. */
  fromCopy?: true
  /** Returns the JSON body of a 200, a `reply(…)`, or undefined after it has answered through `res`. */
  handle: (
    input: { params: z.infer<P>; query: z.infer<Q>; body: z.infer<B> },
    req: Request,
    res: Response,
  ) => unknown
  /** The same without Express, for the busiest routes: see app.ts. */
  direct?: DirectHandler
}

/** Declares a route and gives `handle` its types. Without a schema a part of the request is passed on unchecked. */
export function route<P extends z.ZodType, Q extends z.ZodType, B extends z.ZodType>(
  definition: Route<P, Q, B>,
): Route {
  return definition
}

/** The routes as a group of the description. */
export const tagged = (name: string, description: string, routes: readonly Route[]): Route[] =>
  routes.map((one) => ({ ...one, tag: { name, description } }))

export class Reply {
  readonly status: number
  readonly body: unknown
  readonly headers: Record<string, string>
  constructor(status: number, body?: unknown, headers: Record<string, string> = {}) {
    this.status = status
    this.body = body
    this.headers = headers
  }
}
export const reply = (status: number, body?: unknown, headers?: Record<string, string>) =>
  new Reply(status, body, headers)

/** Faults that an answer names: a body of a million wrong values has a million. */
export const MAX_FAULTS = 20

/**
 * @returns the value as the schema has it.
 * @throws ScissionError badRequest; `details.fields` lists path and message of the first MAX_FAULTS faults.
 */
export function validate<T extends z.ZodType>(schema: T, value: unknown, where: string): z.infer<T> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const { issues } = parsed.error
  const fields = issues.slice(0, MAX_FAULTS).map((issue) => ({
    field: issue.path.join('.') || where,
    message: messageOf(issue, schema),
  }))
  const text = fields.map((fault) => `${fault.field}: ${fault.message}`).join('; ')
  const more = issues.length > MAX_FAULTS ? `; and ${issues.length - MAX_FAULTS} more` : ''
  throw new ScissionError('badRequest', `${where}: ${text}${more}`, { fields })
}

/**
 * zod's message for an invalid key or union is only that it is invalid: the reasons are in the nested issues. Its message
 * for an unknown field does not list the known ones.
 */
function messageOf(issue: z.core.$ZodIssue, schema: z.ZodType): string {
  const atTop = issue.path.length === 0 && schema instanceof z.ZodObject
  if (issue.code === 'unrecognized_keys' && atTop)
    return issue.message + nearest(issue.keys[0] ?? '', Object.keys(schema.shape))
  const inner =
    issue.code === 'invalid_key' ? issue.issues : issue.code === 'invalid_union' ? issue.errors.flat() : []
  const reasons = [...new Set(inner.map((one) => one.message))]
  return reasons.length === 0 ? issue.message : `${issue.message}: ${reasons.join(', or ')}`
}
