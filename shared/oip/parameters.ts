/**
 * The `parameters` objects of requests, responses and tensors: flat objects of strings, numbers and booleans. Clients also
 * send what other servers understand, so whatever is unknown here is passed over, whatever its form.
 */
import { ScissionError } from '../platform/errors.ts'
import { isObject, type Json, type JsonObject, optionalMember } from './exact-json.ts'

export type Parameter = string | number | boolean
export type Parameters = Record<string, Parameter>

/** Prefix of Scission's own parameters, in requests and responses. */
export const OWN_PREFIX = 'scission_'
/** Triton reserves these keys for its backends and refuses them from clients; so does Scission. */
const RESERVED_PREFIX = 'triton_'

/** Parameters that mean something here, besides those with OWN_PREFIX: a wrong value of these is an error. */
const KNOWN: ReadonlySet<string> = new Set([
  'binary_data',
  'binary_data_output',
  'binary_data_size',
  'classification',
  'config',
  'shared_memory_region',
  'timeout',
  'unload_dependents',
])

/**
 * The `parameters` member of an object; empty if there is none. A parameter that is null is absent. One that nobody here
 * knows may have any form: objects and lists are left out.
 * @param owner appears in error messages: "input 'x'".
 * @throws ScissionError badRequest if a known parameter is an object or a list, or if a key is reserved.
 */
export function readParameters(object: JsonObject, owner: string): Parameters {
  const given = optionalMember(object, 'parameters')
  if (given === undefined) return {}
  if (!isObject(given))
    throw new ScissionError('badRequest', `Unable to parse 'parameters' of ${owner}: not an object`)
  return Object.fromEntries(
    Object.entries(given).flatMap(([key, value]) => {
      const parameter = scalar(key, value, owner)
      return parameter === undefined ? [] : [[key, parameter]]
    }),
  )
}

function scalar(key: string, value: Json, owner: string): Parameter | undefined {
  if (key.startsWith(RESERVED_PREFIX)) {
    throw new ScissionError(
      'badRequest',
      `parameter '${key}' of ${owner}: keys that begin with '${RESERVED_PREFIX}' are reserved`,
    )
  }
  if (value === null) return undefined
  if (typeof value === 'bigint') return Number(value)
  if (typeof value !== 'object') return value
  if (!KNOWN.has(key) && !key.startsWith(OWN_PREFIX)) return undefined
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

/** A parameter that must be a whole number of 0 or more that a double holds exactly, if it is given. @throws ScissionError badRequest. */
export function countParameter(parameters: Parameters, key: string, owner: string): number | undefined {
  const value = parameters[key]
  if (value === undefined) return undefined
  if (typeof value === 'number' && Number.isSafeInteger(value) && value >= 0) return value
  throw new ScissionError(
    'badRequest',
    `Unable to parse '${key}' of ${owner}: expected a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, got: ${String(value)}`,
  )
}
