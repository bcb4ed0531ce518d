/** Codes of the errors that loading, and running, a model, a layer range or a deployment can end with. */
import type { ErrorCode } from '../../../shared/platform/errors.ts'

export const LOADING_FAILURES = [
  'notFound',
  'invalidRange',
  'conflict',
  'invalidModel',
  'needsInputShapes',
  'payloadTooLarge',
  'misdirected',
  'peerUnavailable',
  'notReady',
  'tooManyRequests',
  'overloaded',
  'deadlineExceeded',
] as const satisfies readonly ErrorCode[]

export const RUNNING_FAILURES = [
  ...LOADING_FAILURES,
  'invalidTensor',
  'invalidValues',
] as const satisfies readonly ErrorCode[]
