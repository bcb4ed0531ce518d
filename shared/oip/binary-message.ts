/** A written message: its JSON, then the raw tensors in order, not yet joined so that nothing is copied. */
import { ScissionError } from '../platform/errors.ts'
import type { Tensor } from '../contracts/tensor.ts'
import { isObject, type JsonObject, member, parseJson } from './exact-json.ts'
import { BinaryPart, type MessageTensor, readTensor, type Role } from './message-tensor.ts'

const utf8 = new TextEncoder()

export interface Message {
  json: Uint8Array
  /** Views of the tensors' own bytes. */
  binary: Uint8Array[]
  binaryBytes: number
}

export function messageOf(json: string, binaryTensors: readonly Tensor[]): Message {
  const binary = binaryTensors.map((tensor) => tensor.bytes)
  const binaryBytes = binary.reduce((sum, bytes) => sum + bytes.byteLength, 0)
  return { json: utf8.encode(json), binary, binaryBytes }
}

/** Triton's rule: octet-stream and the length of the JSON only when tensor bytes follow it. */
export function messageHeaders(message: Message): Record<string, string> {
  if (message.binaryBytes === 0) return { 'Content-Type': 'application/json' }
  return {
    'Content-Type': 'application/octet-stream',
    'Inference-Header-Content-Length': String(message.json.byteLength),
  }
}

/** The JSON part as an object. @throws ScissionError badRequest. */
export function parseObject(json: Uint8Array): JsonObject {
  const parsed = parseJson(json)
  if (isObject(parsed)) return parsed
  throw new ScissionError('badRequest', 'the body must be a JSON object')
}

/** `inputs` or `outputs` with their data; all of `binary` must be spoken for. */
export function readTensors(
  message: JsonObject,
  role: Role,
  binary: Uint8Array,
  model: string,
): MessageTensor[] {
  const entries = member(message, `${role}s`)
  if (!Array.isArray(entries)) throw new ScissionError('badRequest', `Unable to parse '${role}s'`)
  const part = new BinaryPart(binary, model)
  const tensors = entries.map((entry) => readTensor(entry, role, part))
  part.end(role)
  const seen = new Set<string>()
  for (const { name } of tensors) {
    if (seen.has(name)) throw new ScissionError('invalidTensor', `${role} '${name}' is given twice`)
    seen.add(name)
  }
  return tensors
}

/** `id` is optional and a string. */
export function readId(message: JsonObject): string | undefined {
  const id = member(message, 'id')
  if (id === undefined || typeof id === 'string') return id
  throw new ScissionError('badRequest', "Unable to parse 'id': expected a string")
}
