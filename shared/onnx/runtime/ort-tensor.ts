/**
 * Converts tensors of messages to tensors of ONNX Runtime and back, without a copy if the bytes are aligned.
 *
 * ONNX Runtime reads inputs in place from a typed array, whose offset must be a multiple of the element size: unaligned
 * bytes are copied once. Outputs are already in buffers of their own.
 */
import './no-telemetry.ts'
import { Tensor as OrtTensor } from 'onnxruntime-node'
import { ScissionError } from '../../platform/errors.ts'
import { typedView } from '../../oip/typed-view.ts'
import type { Tensor } from '../../contracts/tensor.ts'
import { elementTypeOfDatatype, elementTypeOfRuntime } from '../wire/element-types.ts'

keepFloat16InIntegers()

/**
 * onnxruntime-common stores FP16 in a Float16Array if that class exists (Node 24), but the binding of version 1.30 takes
 * such an array for empty ("not enough space: expected 8, got 0"). Without the class it uses a Uint16Array. It looks only
 * once, at the first tensor, so the class is hidden for that moment.
 */
function keepFloat16InIntegers(): void {
  const known = Object.getOwnPropertyDescriptor(globalThis, 'Float16Array')
  if (known === undefined) return
  Reflect.deleteProperty(globalThis, 'Float16Array')
  try {
    // oxlint-disable-next-line no-new
    new OrtTensor('float16', new Uint16Array(1), [1])
  } finally {
    Object.defineProperty(globalThis, 'Float16Array', known)
  }
}

/** @throws ScissionError invalidTensor for BF16, which onnxruntime-node does not have. */
export function toOrt(tensor: Tensor): OrtTensor {
  const { name, datatype, shape, bytes } = tensor
  if (datatype === 'BYTES') return new OrtTensor('string', decodeStrings(bytes), shape)
  const type = elementTypeOfDatatype(datatype)?.runtime
  if (datatype === 'BF16' || type === undefined) {
    throw new ScissionError(
      'invalidTensor',
      `tensor "${name}": onnxruntime-node takes no ${datatype} tensors`,
      {
        tensor: name,
      },
    )
  }
  return new OrtTensor(type, typedView(tensor), shape)
}

/** @throws ScissionError internal for a type that the protocol does not have. */
export function fromOrt(name: string, tensor: OrtTensor): Tensor {
  const datatype = elementTypeOfRuntime(tensor.type)?.datatype
  if (datatype === undefined) {
    throw new ScissionError('internal', `tensor "${name}" is of type ${tensor.type}, which cannot be sent`, {
      tensor: name,
    })
  }
  const shape = [...tensor.dims]
  const { data } = tensor
  if (Array.isArray(data)) return { name, datatype, shape, bytes: encodeStrings(data) }
  return { name, datatype, shape, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) }
}

/** BYTES: per element a 4-byte little-endian length, then UTF-8. */
export function encodeStrings(strings: readonly string[]): Uint8Array {
  const sizes = strings.map((text) => Buffer.byteLength(text))
  const bytes = Buffer.from(new ArrayBuffer(sizes.reduce((sum, size) => sum + 4 + size, 0)))
  let offset = 0
  for (const [index, text] of strings.entries()) {
    offset = bytes.writeUInt32LE(sizes[index] ?? 0, offset)
    offset += bytes.write(text, offset, 'utf8')
  }
  return bytes
}

/** The inverse of `encodeStrings`, for bytes that `checkInputs` has accepted. */
export function decodeStrings(bytes: Uint8Array): string[] {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  const strings: string[] = []
  for (let offset = 0; offset < buffer.length; ) {
    const size = buffer.readUInt32LE(offset)
    offset += 4
    strings.push(buffer.toString('utf8', offset, offset + size))
    offset += size
  }
  return strings
}
