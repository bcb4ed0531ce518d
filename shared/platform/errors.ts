/**
 * The error type for everything that is reported to a caller, and the table of its codes.
 *
 * Any layer throws `new ScissionError(code, message, details)`; http-server/error-answers.ts turns it into an HTTP
 * answer. Errors of other types are bugs, or come from Node or a library: they become `internal`.
 */

/** code → HTTP status. Documented for users in docs/errors.md. */
export const ERROR_STATUS = {
  /** The request's JSON, query or headers are malformed or out of range. `details` lists the fields. */
  badRequest: 400,
  /** The bytes are not an ONNX model this build can serve: `message` names node and tensor if known. */
  invalidModel: 422,
  /** Dynamic dimensions must be given: `details.dims` lists input, axis and symbolic name. */
  needsInputShapes: 422,
  /** An input tensor has a wrong name, type, shape or byte count. */
  invalidTensor: 400,
  /** A layer range or cut is out of bounds or out of order. */
  invalidRange: 400,
  /** Unknown model, resource, plan, deployment, benchmark, profile or link: `details.known` may list what exists. */
  notFound: 404,
  methodNotAllowed: 405,
  /** The request conflicts with the present state (name in use, model in a live deployment). */
  conflict: 409,
  payloadTooLarge: 413,
  unsupportedEncoding: 501,
  /** No assignment satisfies the constraints. */
  infeasible: 422,
  /** A needed profile or link has not been measured yet. */
  notMeasured: 409,
  /** Redis cannot be reached: retry later. */
  queueUnavailable: 503,
  /** A model or deployment is known but not loaded. */
  notReady: 503,
  /** A queue is full: retry after `Retry-After`. */
  overloaded: 503,
  /** The next resource on the path did not answer: `details.resource` names it. */
  peerUnavailable: 502,
  deadlineExceeded: 504,
  cancelled: 499,
  internal: 500,
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
