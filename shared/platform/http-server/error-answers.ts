/** Turns thrown errors into HTTP answers: the only code that does. */
import type { IncomingMessage, ServerResponse } from 'node:http'
import { z } from 'zod'
import { coerceError, type ErrorCode, ScissionError } from '../errors.ts'
import type { Logger } from '../log.ts'
import { refusalNow } from '../redis/refused-password.ts'
import { refusalOf } from '../redis/writable.ts'

export const ErrorBody = z
  .object({
    error: z.object({
      code: z.string().meta({ description: 'Names the kind of the error', examples: ['notFound'] }),
      message: z.string().describe('What was wrong, where, and what to do'),
      details: z.record(z.string(), z.unknown()).optional().describe('The same for programs'),
    }),
  })
  .meta({
    id: 'Error',
    description: 'Every error of a path under /v1',
    examples: [
      {
        error: {
          code: 'notFound',
          message: 'there is no model "mobilnet"',
          details: { known: ['mobilenetv2'] },
        },
      },
    ],
  })

/** Of the Open Inference Protocol. */
export const ProtocolErrorBody = z
  .object({ error: z.string().describe('What was wrong, where, and what to do') })
  .meta({
    id: 'ProtocolError',
    description: 'Every error of a path under /v2',
    examples: [{ error: "unexpected inference input 'x' for model 'mnist'" }],
  })

/** Errors of express' own body parsers carry a `status` and a `type`; everything unknown is `internal`. */
export function toScissionError(thrown: unknown): ScissionError {
  if (thrown instanceof ScissionError) return thrown
  const error = coerceError(thrown)
  const as = (code: ErrorCode, message = error.message) => new ScissionError(code, message, undefined, error)
  const status = 'status' in error ? error.status : undefined
  if (status === 413) return as('payloadTooLarge')
  if (status === 415) return as('unsupportedEncoding')
  if (typeof status === 'number' && status >= 400 && status < 500) return as('badRequest')
  const refusal = refusalOf(error)
  if (refusal !== undefined) return as('queueUnavailable', refusal)
  if (isRedisFailure(error))
    return as('queueUnavailable', refusalNow() ?? 'Redis cannot be reached; retry in a moment')
  // Node names the path, which is nobody's business; the log tells the cause.
  if ('syscall' in error && 'path' in error)
    return as('internal', 'a file of this service could not be read or written; its log says which, and why')
  return as('internal')
}

/** Errors of ioredis and BullMQ that mean a lost connection. */
function isRedisFailure(error: Error): boolean {
  return (
    error.name === 'MaxRetriesPerRequestError' ||
    /Connection is closed|Stream isn't writeable|Command timed out|LOADING Redis/.test(error.message)
  )
}

/** `/v2` is the Open Inference Protocol, whose error body is `{ "error": "<message>" }`. Express routes `/V2` to it too. */
export const speaksProtocol = (path: string): boolean => /^\/v2(\/|$)/i.test(path)

/** Header of errors on `/v2`, whose body has no place for the code: hops tell each other by it whose fault an error is. */
export const ERROR_CODE = 'Scission-Error'

/** The JSON body of an error on a path. */
export function bodyFor(path: string, error: ScissionError): unknown {
  if (speaksProtocol(path)) return { error: error.message }
  return {
    error: { code: error.code, message: error.message, ...(error.details && { details: error.details }) },
  }
}

/** Without a charset, which JSON does not have: KServe's client shows the message of an error only if the type is this. */
export const ERROR_TYPE = 'application/json'

export function sendError(res: ServerResponse, path: string, error: ScissionError): void {
  const body = Buffer.from(JSON.stringify(bodyFor(path, error)))
  if (error.status === 503 || error.status === 429) res.setHeader('Retry-After', retryAfter(error))
  if (error.status === 401) res.setHeader('WWW-Authenticate', 'Bearer realm="scission"')
  if (speaksProtocol(path)) res.setHeader(ERROR_CODE, error.code)
  res.statusCode = error.status
  res.setHeader('Content-Type', ERROR_TYPE)
  res.setHeader('Content-Length', body.length)
  res.end(body)
}

/** Seconds, which an error may name. */
const retryAfter = ({ details }: ScissionError): string =>
  typeof details?.retryAfterSeconds === 'number' ? String(details.retryAfterSeconds) : '1'

/** Answers a request with the error that its handler threw. */
export function answerError(
  log: Logger,
  { method }: IncomingMessage,
  res: ServerResponse,
  path: string,
  thrown: unknown,
): void {
  const error = toScissionError(thrown)
  // 501 is no fault of the service: the client asked for what is not there.
  if (error.status >= 500 && error.status !== 501)
    log.error({ err: error.cause ?? error, method, path }, error.message)
  else log.debug({ code: error.code, method, path }, error.message)
  // Too late for a status: cut the connection, so that the client sees a failure and not a short answer.
  if (res.headersSent) res.destroy(error)
  else sendError(res, path, error)
}
