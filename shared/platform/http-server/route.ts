/**
 * A route is declared once; validation, types of the handler and OpenAPI all come from that declaration.
 */
import type { IncomingMessage, ServerResponse } from 'node:http'
import type { Request, Response } from 'express'
import { z } from 'zod'
import { ScissionError } from '../errors.ts'
import { nearest } from '../nearest.ts'

export interface Answer {
  description: string
  schema?: z.ZodType
  /** Default application/json. */
  contentType?: string
}

/** The values of the path's names, decoded. Answers through `res`, or rejects with what is to be answered. */
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
  /** JSON body. Without it the body is left unread for the handler to stream. */
  body?: B
  /** What a body read by the handler itself holds, for OpenAPI only. */
  rawBody?: { contentType: string; description: string }
  answers: Record<number, Answer>
  /**
   * Returns the JSON body of a 200, a `reply(…)`, or undefined after having answered through `res` itself.
   */
  handle: (
    input: { params: z.infer<P>; query: z.infer<Q>; body: z.infer<B> },
    req: Request,
    res: Response,
  ) => unknown
  /** The same without Express, for the busiest routes: see direct.ts. */
  direct?: DirectHandler
}

/** Gives `handle` its types; the schemas default to "nothing allowed is read". */
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

/** @throws ScissionError badRequest; `details.fields` lists path and message of every fault. */
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
 * zod says of a name that is no key, or of what fits no alternative, only that it is invalid: the reasons lie inside.
 * Of an unknown field it does not say which are known.
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
