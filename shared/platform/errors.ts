/**
 * The error type for everything that is reported to a caller, and the table of its codes.
 *
 * Any layer throws `new ScissionError(code, message, details)`; http-server/error-answers.ts turns it into an HTTP
 * answer. Errors of other types are bugs, or come from Node or a library: they become `internal`.
 */

/** code → HTTP status. docs/reference/errors.md says what each means. */
export const ERROR_STATUS = {
  badRequest: 400,
  invalidTensor: 400,
  invalidValues: 400,
  invalidRange: 400,
  unauthenticated: 401,
  forbidden: 403,
  notFound: 404,
  methodNotAllowed: 405,
  requestTimeout: 408,
  conflict: 409,
  notMeasured: 409,
  payloadTooLarge: 413,
  unsupportedMediaType: 415,
  misdirected: 421,
  invalidModel: 422,
  needsInputShapes: 422,
  infeasible: 422,
  tooManyRequests: 429,
  cancelled: 499,
  internal: 500,
  unsupportedEncoding: 501,
  notSupported: 501,
  peerUnavailable: 502,
  queueUnavailable: 503,
  issuerUnavailable: 503,
  notReady: 503,
  overloaded: 503,
  deadlineExceeded: 504,
} as const satisfies Record<string, number>

export type ErrorCode = keyof typeof ERROR_STATUS

export class ScissionError extends Error {
  override readonly name = 'ScissionError'
  readonly code: ErrorCode
  readonly details: Record<string, unknown> | undefined

  /** @param message names the fault, its place and the remedy. */
  constructor(code: ErrorCode, message: string, details?: Record<string, unknown>, cause?: unknown) {
    super(message, cause === undefined ? undefined : { cause })
    this.code = code
    this.details = details
  }

  get status(): number {
    return ERROR_STATUS[this.code]
  }
}

/** Converts any thrown value to an Error. A string or object keeps its text. */
export function coerceError(thrown: unknown): Error {
  if (thrown instanceof Error) return thrown
  if (typeof thrown === 'string') return new Error(thrown)
  if (typeof thrown === 'object' && thrown !== null && 'message' in thrown)
    return new Error(String(thrown.message))
  return new Error(JSON.stringify(thrown) ?? String(thrown))
}
