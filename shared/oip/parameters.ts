/** The `parameters` objects of requests, responses and tensors: flat, values string, number or boolean. */
import { ScissionError } from '../platform/errors.ts'
import { isObject, type Json, type JsonObject, member } from './exact-json.ts'

export type Parameter = string | number | boolean
export type Parameters = Record<string, Parameter>

/** Ours, in requests and responses alike. */
export const OWN_PREFIX = 'scission_'
/** Triton keeps these for its own backends and refuses them from clients; so do we. */
const RESERVED_PREFIX = 'triton_'

/**
 * @param owner is named in errors: "input 'x'".
 * @throws ScissionError badRequest when it is not flat or uses a reserved key.
 */
export function readParameters(object: JsonObject, owner: string): Parameters {
  const given = member(object, 'parameters')
  if (given === undefined) return {}
  if (!isObject(given))
    throw new ScissionError('badRequest', `Unable to parse 'parameters' of ${owner}: not an object`)
  return Object.fromEntries(Object.entries(given).map(([key, value]) => [key, scalar(key, value, owner)]))
}

function scalar(key: string, value: Json, owner: string): Parameter {
  if (key.startsWith(RESERVED_PREFIX)) {
    throw new ScissionError(
      'badRequest',
      `parameter '${key}' of ${owner}: keys that begin with '${RESERVED_PREFIX}' are reserved`,
    )
  }
  if (typeof value === 'bigint') return Number(value)
  if (typeof value === 'string' || typeof value === 'number' || typeof value === 'boolean') return value
  throw new ScissionError(
    'badRequest',
    `parameter '${key}' of ${owner} must be a string, a number or a boolean`,
  )
}

/** @throws ScissionError badRequest when it is there and not a boolean. */
export function booleanParameter(parameters: Parameters, key: string, owner: string): boolean | undefined {
  const value = parameters[key]
  if (value === undefined || typeof value === 'boolean') return value
  throw new ScissionError('badRequest', `Unable to parse '${key}' of ${owner}: expected a boolean`)
}

/** @throws ScissionError badRequest when it is there and not a whole number ≥ 0. */
export function countParameter(parameters: Parameters, key: string, owner: string): number | undefined {
  const value = parameters[key]
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new ScissionError(
    'badRequest',
    `Unable to parse '${key}' of ${owner}: expected a whole number of 0 or more, got: ${String(value)}`,
  )
}
