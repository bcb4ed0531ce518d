/**
 * The error type for everything that is reported to a caller, and the table of its codes.
 *
 * Any layer throws `new ScissionError(code, message, details)`; http-server/error-answers.ts turns it into an HTTP
 * answer. Errors of other types are bugs, or come from Node or a library: they become `internal`.
 */

/** code → HTTP status. What each means: ERROR_MEANING. */
export const ERROR_STATUS = {
  badRequest: 400,
  invalidTensor: 400,
  invalidRange: 400,
  notFound: 404,
  methodNotAllowed: 405,
  conflict: 409,
  notMeasured: 409,
  payloadTooLarge: 413,
  invalidModel: 422,
  needsInputShapes: 422,
  infeasible: 422,
  cancelled: 499,
  internal: 500,
  unsupportedEncoding: 501,
  peerUnavailable: 502,
  queueUnavailable: 503,
  notReady: 503,
  overloaded: 503,
  deadlineExceeded: 504,
} as const satisfies Record<string, number>

export type ErrorCode = keyof typeof ERROR_STATUS

/** code → when a service answers with it, in Markdown: docs/reference/errors.md is made from this table. */
export const ERROR_MEANING: Readonly<Record<ErrorCode, string>> = {
  badRequest:
    'The JSON, the query, a header or an option is malformed or out of range. `details.fields` lists them.',
  invalidTensor: 'An input tensor has a wrong name, data type, shape or number of bytes.',
  invalidRange: 'A layer range is out of bounds or out of order.',
  notFound:
    'The model, resource, plan, deployment, benchmark, profile or link is unknown. `details.known` may list what exists.',
  methodNotAllowed: 'The path exists, the method does not. The `Allow` header lists the methods.',
  conflict: 'The name or port is in use, or a deployment or benchmark still needs the model.',
  notMeasured: 'The request needs a profile or a link that nobody has measured yet.',
  payloadTooLarge: 'The upload or the request body exceeds its limit.',
  invalidModel:
    'The bytes are not an ONNX model that can be served. The message names the node and the tensor if they are known.',
  needsInputShapes: 'The model has open dimensions. `details.dims` lists them.',
  infeasible: 'No plan satisfies the constraints.',
  cancelled: 'The client or the user gave up.',
  internal: 'A fault of Scission or of ONNX Runtime.',
  unsupportedEncoding:
    'The `Content-Encoding` is not gzip, deflate or identity (for the upload of a model: not identity), or a tensor ' +
    'names a codec that is unknown or has no library here (see [codecs](codecs.md)).',
  peerUnavailable:
    'The next resource on the path did not answer. The message and `details.resource` name it.',
  queueUnavailable: 'Redis cannot be reached. Retry later.',
  notReady: 'The model or deployment is known but not loaded.',
  overloaded: 'A queue is full. The `Retry-After` header says when to come back.',
  deadlineExceeded: 'The work was not done in time.',
}

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
