/**
 * The body of a request or response: JSON, then the raw data of its binary tensors in order (binary tensor data
 * extension). The `Inference-Header-Content-Length` header tells how many bytes are JSON.
 */
import { ScissionError } from '../platform/errors.ts'
import type { Tensor } from '../contracts/tensor.ts'
import { isObject, type JsonObject, member, optionalMember, parseJson } from './exact-json.ts'
import { BinaryPart, type MessageTensor, readTensor, type Role } from './message-tensor.ts'

const utf8 = new TextEncoder()

/** A written body, in pieces: joining them would copy the tensors. */
export interface Message {
  json: Uint8Array
  /** Views of the tensors' data. */
  binary: Uint8Array[]
  binaryBytes: number
}

/** @param json refers to the tensors in this order. */
export function messageOf(json: string, binaryTensors: readonly Tensor[]): Message {
  const binary = binaryTensors.map((tensor) => tensor.bytes)
  const binaryBytes = binary.reduce((sum, bytes) => sum + bytes.byteLength, 0)
  return { json: utf8.encode(json), binary, binaryBytes }
}

/** Headers of a body. As in Triton, octet-stream and the length of the JSON are set only if tensor bytes follow it. */
export function messageHeaders(message: Message): Record<string, string> {
  if (message.binaryBytes === 0) return { 'Content-Type': 'application/json' }
  return {
    'Content-Type': 'application/octet-stream',
    'Inference-Header-Content-Length': String(message.json.byteLength),
  }
}

/** In lower case, as Node keeps header names. */
export const JSON_LENGTH_HEADER = 'inference-header-content-length'

/**
 * The length of the JSON part in bytes; undefined if the whole body is JSON.
 * @param header value of the JSON_LENGTH_HEADER.
 * @param bodyBytes length of the body. If it is not known yet, call `checkJsonLength` when the body has arrived.
 * @throws ScissionError badRequest.
 */
export function readJsonLength(header: string | undefined, bodyBytes?: number): number | undefined {
  if (header === undefined) return undefined
  const length = /^\d{1,15}$/.test(header.trim()) ? Number(header) : Number.NaN
  if (Number.isNaN(length)) {
    throw new ScissionError('badRequest', `Unable to parse Inference-Header-Content-Length, got: ${header}`)
  }
  if (bodyBytes !== undefined) checkJsonLength(length, bodyBytes)
  return length
}

/** @throws ScissionError badRequest if the JSON part would be longer than the body. */
export function checkJsonLength(length: number, bodyBytes: number): void {
  if (length <= bodyBytes) return
  throw new ScissionError(
    'badRequest',
    `inference header size should be in range (0, ${bodyBytes}), got: ${length}`,
  )
}

/** Parses the JSON part. @throws ScissionError badRequest if it is not a JSON object. */
export function parseObject(json: Uint8Array): JsonObject {
  const parsed = parseJson(json)
  if (isObject(parsed)) return parsed
  throw new ScissionError('badRequest', 'the body must be a JSON object')
}

/**
 * Reads `inputs` or `outputs` with their data.
 * @param binary the binary part; every byte of it must belong to a tensor.
 * @param model appears in error messages.
 * @throws ScissionError badRequest or invalidTensor.
 */
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

/** The optional `id`. @throws ScissionError badRequest if it is neither a string nor null. */
export function readId(message: JsonObject): string | undefined {
  const id = optionalMember(message, 'id')
  if (id === undefined || typeof id === 'string') return id
  throw new ScissionError('badRequest', "Unable to parse 'id': expected a string")
}
