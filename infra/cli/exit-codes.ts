/** Exit codes of `scission` and the text of its errors. */
import { hidePasswords } from '../../shared/platform/hidden-passwords.ts'
import { coerceError, type ErrorCode, ScissionError } from '../../shared/platform/errors.ts'
import { plainWords } from '../../shared/platform/plain-words.ts'
import { printableText } from '../terminal/printable.ts'

export const EXIT = { ok: 0, failed: 1, usage: 2, unknownName: 3, infeasible: 4, unreachable: 5 } as const

const BY_CODE: Partial<Record<ErrorCode, number>> = {
  badRequest: EXIT.usage,
  needsInputShapes: EXIT.usage,
  invalidTensor: EXIT.usage,
  invalidValues: EXIT.usage,
  invalidRange: EXIT.usage,
  invalidModel: EXIT.usage,
  notFound: EXIT.unknownName,
  infeasible: EXIT.infeasible,
  peerUnavailable: EXIT.unreachable,
  queueUnavailable: EXIT.unreachable,
  issuerUnavailable: EXIT.unreachable,
  deadlineExceeded: EXIT.unreachable,
}

export function exitCodeOf(thrown: unknown): number {
  return thrown instanceof ScissionError ? (BY_CODE[thrown.code] ?? EXIT.failed) : EXIT.failed
}

/** Describes an error for people, or completely as JSON for programs. It holds no password and nothing that controls a terminal. */
export function describeFailure(thrown: unknown, json: boolean): string {
  const error = coerceError(thrown)
  // Which part of a request a field was in means nothing to who wrote none.
  const message = hidePasswords(plainWords(error.message.replace(/^(path|query|body): (?=[^\s:]+: )/, '')))
  if (!json) return `scission: ${printableText(message)}`
  const code = error instanceof ScissionError ? error.code : 'internal'
  const details = error instanceof ScissionError ? error.details : undefined
  const exitCode = exitCodeOf(thrown)
  return hidePasswords(JSON.stringify({ error: { code, message, exitCode, ...(details && { details }) } }))
}
