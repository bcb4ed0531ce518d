/** docs/reference/errors.md */
import { EXIT, exitCodeOf } from '../../../infra/cli/exit-codes.ts'
import { ERROR_MEANING } from '../../../shared/platform/error-meanings.ts'
import { ERROR_STATUS, type ErrorCode, ScissionError } from '../../../shared/platform/errors.ts'
import { code, page, table } from './markdown.ts'

const INTRODUCTION = `Every error of the benchmark and planner services, and of the paths \`/v1/…\` of an inference service, has the body

\`\`\`json
{ "error": { "code": "notFound", "message": "…", "details": { } } }
\`\`\`

The message says what was wrong, where, and what to do. \`details\`, if present, holds the same for programs. Paths under
\`/v2\` answer with the body of the Open Inference Protocol, \`{ "error": "<message>" }\`, and the same status. A 503 and a 429
have the header \`Retry-After\`.

Bytes that are no valid HTTP request never reach a service's code. They are answered with 400, 408 (the headers did not
arrive in time), 413, 417 or 431 (the headers are too large), with the same body, and the connection is closed.`

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
    '`scission` prints the message on standard error, or with `--json` one line of JSON: `{"error":{"code","message","exitCode","details"}}`.',
    'A command line that is wrong is `badRequest`.',
    table(['exit code', 'meaning'], exits),
  )
}
