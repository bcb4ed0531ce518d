/**
 * A route is declared once; validation, types of the handler and OpenAPI all come from that declaration.
 */
import type { Request, Response } from 'express'
import type { z } from 'zod'
import { ScissionError } from '../errors.ts'

export interface Answer {
  description: string
  schema?: z.ZodType
  /** Default application/json. */
  contentType?: string
}

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
    message: issue.message,
  }))
  const text = fields.map((fault) => `${fault.field}: ${fault.message}`).join('; ')
  throw new ScissionError('badRequest', `${where}: ${text}`, { fields })
}
