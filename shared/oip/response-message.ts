/** Writes and parses inference responses. */
import { ScissionError } from '../platform/errors.ts'
import type { Tensor } from '../contracts/tensor.ts'
import { member, optionalMember } from './exact-json.ts'
import { type Message, messageOf, parseObject, readId, readTensors } from './binary-message.ts'
import { type Parameters, readParameters } from './parameters.ts'
import { type MessageTensor, writeTensor } from './message-tensor.ts'

export interface OutgoingResponse {
  modelName: string
  modelVersion?: string | undefined
  id?: string | undefined
  parameters?: Parameters
  outputs: readonly { tensor: Tensor & { parameters?: Parameters }; binary: boolean }[]
}

/** Writes an inference response. @throws ScissionError badRequest if an output to be sent as JSON has no JSON form. */
export function writeInferResponse(response: OutgoingResponse): Message {
  const raw = response.outputs.filter((output) => output.binary).map((output) => output.tensor)
  const members = [
    `"model_name":${JSON.stringify(response.modelName)}`,
    ...(response.modelVersion === undefined
      ? []
      : [`"model_version":${JSON.stringify(response.modelVersion)}`]),
    ...(response.id === undefined ? [] : [`"id":${JSON.stringify(response.id)}`]),
    ...(response.parameters && Object.keys(response.parameters).length > 0
      ? [`"parameters":${JSON.stringify(response.parameters)}`]
      : []),
    `"outputs":[${response.outputs.map(({ tensor, binary }) => writeTensor(tensor, binary)).join(',')}]`,
  ]
  return messageOf(`{${members.join(',')}}`, raw)
}

export interface InferResponse {
  modelName: string
  modelVersion: string | undefined
  id: string | undefined
  parameters: Parameters
  outputs: MessageTensor[]
}

/**
 * Parses an inference response.
 * @param binary the part of the body after the JSON; the outputs are views into it.
 * @throws ScissionError badRequest or invalidTensor if the bytes are not a response.
 */
export function parseInferResponse(json: Uint8Array, binary: Uint8Array): InferResponse {
  const message = parseObject(json)
  const modelName = member(message, 'model_name')
  const modelVersion = optionalMember(message, 'model_version')
  if (typeof modelName !== 'string') throw new ScissionError('badRequest', "Unable to parse 'model_name'")
  if (modelVersion !== undefined && typeof modelVersion !== 'string')
    throw new ScissionError('badRequest', "Unable to parse 'model_version': expected a string")
  return {
    modelName,
    modelVersion,
    id: readId(message),
    parameters: readParameters(message, 'the response'),
    outputs: readTensors(message, 'output', binary, modelName),
  }
}
