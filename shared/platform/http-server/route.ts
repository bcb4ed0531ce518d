/** Routes: validation, the handler's types and OpenAPI all come from one declaration. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Request, Response } from 'express'
import { z } from 'zod'
import { ScissionError } from '../errors.ts'
import { nearest } from '../nearest.ts'

export interface Answer {
  description: string
  schema?: z.ZodType
  /** @defaultValue application/json */
  contentType?: string
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
  summary: string
  description?: string
  params?: P
  query?: Q
  /** Schema of a JSON body. Without it the body is left unread for the handler to stream. */
  body?: B
  /** Describes, for OpenAPI only, a body that the handler reads itself. */
  rawBody?: { contentType: string; description: string }
  answers: Record<number, Answer>
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

/** @returns the value as the schema has it. @throws ScissionError badRequest; `details.fields` lists path and message of every fault. */
export function validate<T extends z.ZodType>(schema: T, value: unknown, where: string): z.infer<T> {
  const parsed = schema.safeParse(value)
  if (parsed.success) return parsed.data
  const fields = parsed.error.issues.map((issue) => ({
    field: issue.path.join('.') || where,
    message: messageOf(issue, schema),
  }))
  const text = fields.map((fault) => `${fault.field}: ${fault.message}`).join('; ')
  throw new ScissionError('badRequest', `${where}: ${text}`, { fields })
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
