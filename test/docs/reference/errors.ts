/** docs/reference/errors.md */
import { EXIT, exitCodeOf } from '../../../infra/cli/exit-codes.ts'
import { ERROR_STATUS, type ErrorCode, ScissionError } from '../../../shared/platform/errors.ts'
import { code, page, table } from './markdown.ts'

const INTRODUCTION = `Every error of the benchmark and planner services, and of the paths \`/v1/…\` of an inference service, has the body

\`\`\`json
{ "error": { "code": "notFound", "message": "…", "details": { } } }
\`\`\`

The message says what was wrong, where, and what to do. \`details\`, if present, holds the same for programs. Paths under
\`/v2\` answer with the body of the Open Inference Protocol, \`{ "error": "<message>" }\`, and the same status. A 503 has the
header \`Retry-After\`.

Bytes that are no valid HTTP request never reach a service's code. They are answered with 400, 408 (the headers did not
arrive in time), 413, 417 or 431 (the headers are too large), with the same body, and the connection is closed.`

/** code → when a service answers with it, in Markdown. */
const ERROR_MEANING: Readonly<Record<ErrorCode, string>> = {
  badRequest:
    'The JSON, the query, a header or an option is malformed or out of range. `details.fields` lists them.',
  invalidTensor: 'An input tensor has a wrong name, data type, shape, number of bytes or encoding.',
  invalidValues:
    'The input tensors have the right form, but a layer refuses their values: an index outside of its table, a text that is ' +
    'no number, a string that ONNX Runtime would change. The same for a whole model and whichever hop the layer is on.',
  invalidRange: 'A layer range is out of bounds or out of order, or begins at no cut of a deployment.',
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
    'The `Content-Encoding` is not gzip, deflate or identity (for the upload of a model: not identity), or a tensor is ' +
    'packed with Zstandard, for which this platform has no library (see [codecs](codecs.md)).',
  notSupported: 'An extension of the Open Inference Protocol that inference services do not have.',
  peerUnavailable:
    'The next resource on the path did not answer. The message and `details.resource` name it.',
  queueUnavailable: 'Redis cannot be reached. Retry later.',
  notReady: 'The model or deployment is known but not loaded.',
  overloaded: 'A queue is full. The `Retry-After` header says when to come back.',
  deadlineExceeded: 'The work was not done in time.',
}

const EXIT_MEANING: Record<keyof typeof EXIT, string> = {
  ok: 'success',
  failed: 'something failed',
  usage: 'the command or the request is wrong',
  unknownName: 'a name is unknown',
  infeasible: 'no plan satisfies the constraints',
  unreachable: 'a service cannot be reached, or did not answer in time',
}

export function errorsPage(): string {
  const codes = Object.keys(ERROR_STATUS) as ErrorCode[]
  const exitOf = (name: ErrorCode) => exitCodeOf(new ScissionError(name, ''))
  const rows = codes.map((name) => [
    code(name),
    String(ERROR_STATUS[name]),
    String(exitOf(name)),
    ERROR_MEANING[name],
  ])
  const exits = Object.entries(EXIT_MEANING).map(([name, meaning]) => [
    String(EXIT[name as keyof typeof EXIT]),
    meaning,
  ])
  return page(
    'Errors',
    INTRODUCTION,
    table(['code', 'HTTP status', 'exit code of `scission`', 'meaning'], rows),
    '## Exit codes',
    '`scission` prints the message on standard error, or the whole error as JSON with `--json`.',
    table(['exit code', 'meaning'], exits),
  )
}
