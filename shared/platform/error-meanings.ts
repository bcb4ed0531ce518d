/** What each error code tells a client, in Markdown: for the OpenAPI descriptions and docs/reference/errors.md. */
import type { ErrorCode } from './errors.ts'

export const ERROR_MEANING: Readonly<Record<ErrorCode, string>> = {
  badRequest:
    'The JSON, the query, a header or an option is malformed or out of range. `details.fields` lists the first twenty of them.',
  invalidTensor: 'An input tensor has a wrong name, data type, shape, number of bytes or encoding.',
  invalidValues:
    'The input tensors have the right form, but a layer refuses their values: an index outside of its table, a text that is ' +
    'no number, a string that ONNX Runtime would change. The same for a whole model and whichever hop the layer is on.',
  invalidRange: 'A layer range is out of bounds or out of order, or begins at no cut of a deployment.',
  unauthenticated:
    'The request has no token, or one that does not hold: unknown, revoked or expired. Which of these is not said.',
  forbidden:
    'The key may not do this; or the Host or Origin header shows that a page of another site asks. The message says which permission is missing, or which setting names the address.',
  notFound:
    'The model, resource, plan, deployment, benchmark, profile or link is unknown. `details.known` may list what exists.',
  methodNotAllowed: 'The path exists, the method does not. The `Allow` header lists the methods.',
  requestTimeout: 'The body did not arrive in time, or too slowly. The message says what was expected.',
  conflict: 'The name or port is in use, or a deployment or benchmark still needs the model.',
  notMeasured: 'The request needs a profile or a link that nobody has measured yet.',
  payloadTooLarge:
    'The upload or the request body exceeds its limit, or what its values ask a model to make does. The message names the setting.',
  unsupportedMediaType: 'The body is declared as something else than JSON.',
  misdirected:
    'The request is for another machine than the one that it reached: an address is wrong. The message says which setting to correct.',
  invalidModel:
    'The bytes are not an ONNX model that can be served. The message names the node and the tensor if they are known.',
  needsInputShapes: 'The model has open dimensions. `details.dims` lists them.',
  infeasible: 'No plan satisfies the constraints.',
  tooManyRequests:
    'This client has as many connections, streams, waiting requests or keys as one client may have, or who asks is at a quota, which the message names. `Retry-After` says when to come back.',
  cancelled: 'The client or the user gave up.',
  internal: 'A fault of Scission or of ONNX Runtime.',
  unsupportedEncoding:
    'The `Content-Encoding` is not gzip, deflate or identity (for the upload of a model: not identity), or a tensor is ' +
    'packed with Zstandard, for which this platform has no library.',
  notSupported: 'An extension of the Open Inference Protocol that inference services do not have.',
  peerUnavailable:
    'The next resource on the path did not answer. The message and `details.resource` name it.',
  queueUnavailable: 'Redis cannot be reached, or takes no writes; the message says why. Retry later.',
  issuerUnavailable:
    'The token is one of the identity provider, whose keys are not known now; the message says why. Retry later.',
  notReady: 'The model or deployment is known but not loaded.',
  overloaded: 'A queue is full. The `Retry-After` header says when to come back.',
  deadlineExceeded: 'The work was not done in time.',
}
