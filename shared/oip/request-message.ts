/** Parses and writes inference requests. The inference service checks them against the model. */
import type { TensorSpec } from '../contracts/common.ts'
import { ScissionError } from '../platform/errors.ts'
import { ELEMENT_BYTES, elementCount, type Tensor } from '../contracts/tensor.ts'
import { isObject, type Json, type JsonObject, optionalMember } from './exact-json.ts'
import { type Message, messageOf, parseObject, readId, readTensors } from './binary-message.ts'
import { booleanParameter, type Parameters, readParameters } from './parameters.ts'
import { countElements } from './bytes-elements.ts'
import { type MessageTensor, readName, writeTensor } from './message-tensor.ts'

export interface RequestedOutput {
  name: string
  /** True for raw bytes, false for JSON. */
  binary: boolean
  parameters: Parameters
}

export interface InferRequest {
  id: string | undefined
  parameters: Parameters
  inputs: MessageTensor[]
  /** The outputs to return, in this order; null for every output. */
  outputs: RequestedOutput[] | null
  /** The form of the outputs if `outputs` is null: true for raw bytes, false for JSON. */
  binaryOutput: boolean
}

/**
 * Parses an inference request.
 * @param binary the part of the body after the JSON; the inputs are views into it.
 * @param model appears in error messages.
 * @throws ScissionError badRequest or invalidTensor, in the wording of Triton and KServe.
 */
export function parseInferRequest(json: Uint8Array, binary: Uint8Array, model: string): InferRequest {
  const message = parseObject(json)
  const id = readId(message)
  const parameters = readParameters(message, 'the request')
  const binaryOutput = booleanParameter(parameters, 'binary_data_output', 'the request') ?? false
  const outputs = readOutputs(message, binaryOutput)
  const inputs = readTensors(message, 'input', binary, model)
  return { id, parameters, inputs, outputs, binaryOutput }
}

function readOutputs(message: JsonObject, binaryDefault: boolean): RequestedOutput[] | null {
  const entries = optionalMember(message, 'outputs')
  if (entries === undefined) return null
  if (!Array.isArray(entries)) throw new ScissionError('badRequest', "Unable to parse 'outputs'")
  if (entries.length === 0) return null
  const outputs = entries.map((entry) => readOutput(entry, binaryDefault))
  const names = new Set(outputs.map((output) => output.name))
  if (names.size < outputs.length)
    throw new ScissionError('badRequest', "Unable to parse 'outputs': a name is given twice")
  return outputs
}

function readOutput(entry: Json, binaryDefault: boolean): RequestedOutput {
  if (!isObject(entry)) throw new ScissionError('badRequest', "Unable to parse 'outputs': not an object")
  const name = readName(entry, 'output')
  const owner = `output '${name}'`
  const parameters = readParameters(entry, owner)
  for (const key of ['classification', 'shared_memory_region']) {
    if (parameters[key] !== undefined)
      throw new ScissionError('badRequest', `${owner}: '${key}' is not supported by this server`)
  }
  return { name, parameters, binary: booleanParameter(parameters, 'binary_data', owner) ?? binaryDefault }
}

type RawInput = Pick<TensorSpec, 'name' | 'datatype' | 'shape'>

/**
 * Parses a raw binary request (Inference-Header-Content-Length: 0): the body is the data of the only input, and every
 * output is returned as raw bytes. One open dimension of the input follows from the number of bytes.
 * @param inputs as the model is described. @param takes the same as requests may send them, where bytes do not fit those.
 * @throws ScissionError badRequest if the model has more than one input; invalidTensor if the bytes do not fit its shape.
 */
export function parseRawRequest(
  inputs: readonly RawInput[],
  takes: readonly RawInput[],
  bytes: Uint8Array,
  model: string,
): InferRequest {
  const [input, ...others] = inputs
  if (!input || others.length > 0) {
    throw new ScissionError(
      'badRequest',
      `Raw request must only have 1 input (found ${inputs.length}) to be deduced, for model '${model}'`,
    )
  }
  const open = takes.find(({ name, shape }) => name === input.name && openCount(shape) === 1)
  const shape = rawShape(open && !isFilledBy(input, bytes) ? open : input, bytes, model)
  const tensor = { name: input.name, datatype: input.datatype, shape, bytes, parameters: {} }
  return { id: undefined, parameters: {}, inputs: [tensor], outputs: null, binaryOutput: true }
}

const openCount = (shape: readonly number[]) => shape.filter((dim) => dim < 0).length

const isFilledBy = ({ datatype, shape }: RawInput, { byteLength }: Uint8Array): boolean =>
  datatype === 'BYTES' ||
  (openCount(shape) === 0 && elementCount(shape) * ELEMENT_BYTES[datatype] === byteLength)

function rawShape(input: RawInput, bytes: Uint8Array, model: string): number[] {
  const fail = (why: string): never => {
    const place = `input '${input.name}' of model '${model}'`
    throw new ScissionError('invalidTensor', `raw request: ${why} for ${place}`)
  }
  if (input.datatype === 'BYTES') {
    const elements = countElements(bytes, `input '${input.name}'`)
    const single = input.shape.length <= 1 && [1, -1].includes(input.shape[0] ?? 1)
    return single && elements === 1 ? input.shape.map(() => 1) : fail('BYTES must have shape [1] or []')
  }
  const open = openCount(input.shape)
  if (open > 1) return fail(`the shape [${input.shape.join(',')}] cannot be deduced`)
  const known = elementCount(input.shape.map((dim) => (dim < 0 ? 1 : dim))) * ELEMENT_BYTES[input.datatype]
  const exact = open === 0 ? bytes.byteLength === known : known > 0 && bytes.byteLength % known === 0
  if (!exact) return fail(`${bytes.byteLength} bytes do not fit shape [${input.shape.join(',')}]`)
  return input.shape.map((dim) => (dim < 0 ? bytes.byteLength / known : dim))
}

export interface OutgoingRequest {
  id?: string | undefined
  parameters?: Parameters
  inputs: readonly (Tensor & { parameters?: Parameters })[]
  /** @defaultValue every output */
  outputs?: readonly { name: string; parameters?: Parameters }[] | undefined
}

/**
 * Writes an inference request.
 * @param binary tells whether an input is sent as raw bytes. @defaultValue always
 * @throws ScissionError badRequest if an input to be sent as JSON has no JSON form.
 */
export function writeInferRequest(
  request: OutgoingRequest,
  binary: (input: Tensor) => boolean = () => true,
): Message {
  const raw = request.inputs.filter((input) => binary(input))
  const members = [
    ...(request.id === undefined ? [] : [`"id":${JSON.stringify(request.id)}`]),
    ...(request.parameters && Object.keys(request.parameters).length > 0
      ? [`"parameters":${JSON.stringify(request.parameters)}`]
      : []),
    `"inputs":[${request.inputs.map((input) => writeTensor(input, binary(input))).join(',')}]`,
    ...(request.outputs ? [`"outputs":${JSON.stringify(request.outputs)}`] : []),
  ]
  return messageOf(`{${members.join(',')}}`, raw)
}
