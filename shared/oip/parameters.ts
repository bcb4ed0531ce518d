/** The `parameters` objects of requests, responses and tensors: flat objects of strings, numbers and booleans. */
import { ScissionError } from '../platform/errors.ts'
import { isObject, type Json, type JsonObject, member } from './exact-json.ts'

export type Parameter = string | number | boolean
export type Parameters = Record<string, Parameter>

/** Prefix of Scission's own parameters, in requests and responses. */
export const OWN_PREFIX = 'scission_'
/** Triton reserves these keys for its backends and refuses them from clients; so does Scission. */
const RESERVED_PREFIX = 'triton_'

/**
 * The `parameters` member of an object; empty if there is none.
 * @param owner appears in error messages: "input 'x'".
 * @throws ScissionError badRequest if the parameters are not flat or use a reserved key.
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

/** A parameter that must be a boolean, if it is given. @throws ScissionError badRequest. */
export function booleanParameter(parameters: Parameters, key: string, owner: string): boolean | undefined {
  const value = parameters[key]
  if (value === undefined || typeof value === 'boolean') return value
  throw new ScissionError('badRequest', `Unable to parse '${key}' of ${owner}: expected a boolean`)
}

/** A parameter that must be a string, if it is given. @throws ScissionError badRequest. */
export function textParameter(parameters: Parameters, key: string, owner: string): string | undefined {
  const value = parameters[key]
  if (value === undefined || typeof value === 'string') return value
  throw new ScissionError('badRequest', `Unable to parse '${key}' of ${owner}: expected a string`)
}

/** A parameter that must be a whole number of 0 or more, if it is given. @throws ScissionError badRequest. */
export function countParameter(parameters: Parameters, key: string, owner: string): number | undefined {
  const value = parameters[key]
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new ScissionError(
    'badRequest',
    `Unable to parse '${key}' of ${owner}: expected a whole number of 0 or more, got: ${String(value)}`,
  )
}
