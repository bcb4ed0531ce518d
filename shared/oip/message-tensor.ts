/**
 * One entry of `inputs` or `outputs`: name, shape, datatype, and the data either as JSON or as the next bytes of the
 * binary part. Requests and responses use the same form, so they share the reader and the writer.
 */
import { DATATYPES, type Datatype } from '../contracts/common.ts'
import { ScissionError } from '../platform/errors.ts'
import { ELEMENT_BYTES, elementCount, type Tensor } from '../contracts/tensor.ts'
import { isObject, type Json, type JsonObject, member, optionalMember } from './exact-json.ts'
import { countParameter, type Parameters, readParameters } from './parameters.ts'
import { countElements } from './bytes-elements.ts'
import { type Described, elementsFromJson, elementsToJson, jsonText } from './json-elements.ts'

/** A tensor of a message with its parameters, `binary_data_size` excepted. */
export interface MessageTensor extends Tensor {
  parameters: Parameters
}

export type Role = 'input' | 'output'

/** The binary part of a message, read from front to back. The pieces are views of its buffer. */
export class BinaryPart {
  readonly #bytes: Uint8Array
  readonly #model: string
  #at = 0

  constructor(bytes: Uint8Array, model: string) {
    this.#bytes = bytes
    this.#model = model
  }

  /** The next `count` bytes. @throws ScissionError invalidTensor if fewer are left. */
  take(count: number, owner: string): Uint8Array {
    const end = this.#at + count
    if (end > this.#bytes.byteLength) {
      const missing = end - this.#bytes.byteLength
      throw new ScissionError(
        'invalidTensor',
        `unexpected size for ${owner}, expecting ${missing} additional bytes for model '${this.#model}'`,
      )
    }
    const part = this.#bytes.subarray(this.#at, end)
    this.#at = end
    return part
  }

  /** @throws ScissionError badRequest if bytes are left over. */
  end(role: Role): void {
    if (this.#at === this.#bytes.byteLength) return
    throw new ScissionError(
      'badRequest',
      `unexpected additional ${role} data for model '${this.#model}': ` +
        `${this.#bytes.byteLength - this.#at} bytes more than declared`,
    )
  }
}

/** Reads one entry and takes its binary data, if it has any. @throws ScissionError badRequest or invalidTensor. */
export function readTensor(entry: Json, role: Role, binary: BinaryPart): MessageTensor {
  if (!isObject(entry)) throw new ScissionError('badRequest', `Unable to parse '${role}s': not an object`)
  const name = readName(entry, role)
  const owner = `${role} '${name}'`
  const shape = readShape(entry, owner)
  const datatype = readDatatype(entry, owner)
  const given = readParameters(entry, owner)
  const bytes = readData(entry, { name, owner, shape, datatype }, given, binary)
  const { binary_data_size: _taken, ...parameters } = given
  return { name, datatype, shape, bytes, parameters }
}

/** The name of an entry. @throws ScissionError badRequest. */
export function readName(entry: JsonObject, role: Role): string {
  const name = member(entry, 'name')
  if (typeof name === 'string') return name
  throw new ScissionError('badRequest', `Unable to parse 'name' of an ${role}`)
}

function readShape(entry: JsonObject, owner: string): number[] {
  const shape = member(entry, 'shape')
  if (!Array.isArray(shape)) throw new ScissionError('badRequest', `Unable to parse 'shape' of ${owner}`)
  return shape.map((dim, axis) => {
    if (typeof dim === 'number' && Number.isSafeInteger(dim) && dim >= 0) return dim
    throw new ScissionError(
      'invalidTensor',
      `Unable to parse 'shape' of ${owner}: shape[${axis}] must be a whole number from 0 to ${Number.MAX_SAFE_INTEGER}, ` +
        `got: ${jsonText(dim)}`,
    )
  })
}

function readDatatype(entry: JsonObject, owner: string): Datatype {
  const given = member(entry, 'datatype')
  if (typeof given !== 'string')
    throw new ScissionError('badRequest', `Unable to parse 'datatype' of ${owner}`)
  const datatype = DATATYPES.find((known) => known === given)
  if (datatype) return datatype
  throw new ScissionError(
    'invalidTensor',
    `Unable to parse 'datatype' of ${owner}: '${given}' is not one of ${DATATYPES.join(', ')}`,
  )
}

const DATA_FIELDS = "'data', 'binary_data_size', 'shared_memory_region'"

function readData(
  entry: JsonObject,
  tensor: Described,
  parameters: Parameters,
  binary: BinaryPart,
): Uint8Array {
  const data = optionalMember(entry, 'data')
  const { binary_data_size, shared_memory_region } = parameters
  const fields = Object.entries({ data, binary_data_size, shared_memory_region })
  const set = fields.filter(([, value]) => value !== undefined).map(([key]) => `'${key}'`)
  if (set.length !== 1) {
    const role = tensor.owner.startsWith('input') ? 'Input' : 'Output'
    throw new ScissionError(
      'badRequest',
      `${role} must set only one of the following fields: ${DATA_FIELDS}. ` +
        `But ${set.length === 0 ? 'no field is set' : `set ${set.join(', ')}`} for ${tensor.owner}`,
    )
  }
  if (data !== undefined) return elementsFromJson(tensor, data)
  const size = countParameter(parameters, 'binary_data_size', tensor.owner)
  if (size === undefined)
    throw new ScissionError('badRequest', `${tensor.owner}: shared memory is not supported by this server`)
  return checked(binary.take(size, tensor.owner), tensor)
}

/** Checks the number of bytes (for BYTES, of elements) against the shape. @throws ScissionError invalidTensor. */
function checked(bytes: Uint8Array, { owner, shape, datatype }: Described): Uint8Array {
  const count = elementCount(shape)
  if (datatype === 'BYTES') {
    const given = countElements(bytes, owner)
    if (given === count) return bytes
    throw new ScissionError(
      'invalidTensor',
      `${owner}: shape [${shape.join(',')}] has ${count} elements, its binary data has ${given}`,
    )
  }
  const expected = count * ELEMENT_BYTES[datatype]
  if (bytes.byteLength === expected) return bytes
  throw new ScissionError(
    'invalidTensor',
    `unexpected size for ${owner}: ${datatype} of shape [${shape.join(',')}] takes ${expected} bytes, ` +
      `'binary_data_size' is ${bytes.byteLength}`,
  )
}

/** The JSON of one entry. The caller appends the bytes of a binary tensor. @throws as elementsToJson. */
export function writeTensor(tensor: Tensor & { parameters?: Parameters }, binary: boolean): string {
  const parameters = {
    ...tensor.parameters,
    ...(binary && { binary_data_size: tensor.bytes.byteLength }),
  }
  const head =
    `"name":${JSON.stringify(tensor.name)},"datatype":"${tensor.datatype}","shape":[${tensor.shape.join(',')}]` +
    (Object.keys(parameters).length > 0 ? `,"parameters":${JSON.stringify(parameters)}` : '')
  return binary ? `{${head}}` : `{${head},"data":${elementsToJson(tensor)}}`
}
