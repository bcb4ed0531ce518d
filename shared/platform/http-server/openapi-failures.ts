/** The errors that a route can answer with: those that every route has, those that follow from its form, and its own. */
import type { z } from 'zod'
import { ERROR_MEANING } from '../error-meanings.ts'
import { ERROR_STATUS, type ErrorCode } from '../errors.ts'
import { ErrorBody, ProtocolErrorBody, speaksProtocol } from './error-answers.ts'
import type { Route } from './route.ts'

/** Status → the codes that a route answers with it. */
export function failuresOf(route: Route): Map<number, ErrorCode[]> {
  const codes: ErrorCode[] = [
    'badRequest',
    'internal',
    ...(route.alone ? [] : (['queueUnavailable', 'deadlineExceeded'] as const)),
    'forbidden',
    ...(route.access === 'anyone'
      ? []
      : (['unauthenticated', 'tooManyRequests', 'issuerUnavailable'] as const)),
    ...(route.body ? (['unsupportedMediaType'] as const) : []),
    ...(route.params ? (['notFound'] as const) : []),
    ...(route.body || route.rawBody
      ? (['requestTimeout', 'payloadTooLarge', 'unsupportedEncoding'] as const)
      : []),
    ...(route.fails ?? []),
  ]
  const byStatus = new Map<number, ErrorCode[]>()
  for (const code of new Set(codes))
    byStatus.set(ERROR_STATUS[code], [...(byStatus.get(ERROR_STATUS[code]) ?? []), code])
  return byStatus
}

/** The protocol's errors have no code and no details: there the description tells only what happened. */
export function describeFailure(path: string, codes: readonly ErrorCode[]): string {
  if (!speaksProtocol(path)) return codes.map((code) => `\`${code}\`: ${ERROR_MEANING[code]}`).join(' ')
  return codes
    .flatMap((code) => ERROR_MEANING[code].split(/(?<=\.) /))
    .filter((sentence) => !sentence.includes('`details'))
    .join(' ')
}

export const failureSchema = (path: string): z.ZodType =>
  speaksProtocol(path) ? ProtocolErrorBody : ErrorBody
