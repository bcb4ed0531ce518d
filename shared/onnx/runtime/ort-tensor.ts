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
import { decodeStrings, encodeMade } from './ort-strings.ts'

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

/**
 * @throws ScissionError invalidTensor for BF16, which onnxruntime-node does not have; invalidValues for strings that it would
 * change (ort-strings.ts).
 */
export function toOrt(tensor: Tensor): OrtTensor {
  const { name, datatype, shape } = tensor
  if (datatype === 'BYTES') return new OrtTensor('string', decodeStrings(tensor), shape)
  const type = elementTypeOfDatatype(datatype)?.runtime
  if (datatype === 'BF16' || type === undefined) {
    const message = `tensor "${name}": onnxruntime-node takes no ${datatype} tensors`
    throw new ScissionError('invalidTensor', message, { tensor: name })
  }
  return new OrtTensor(type, typedView(tensor), shape)
}

/**
 * @param holdsBytes tells whether the model's file has strings that are not UTF-8. @defaultValue it has none
 * @throws ScissionError internal for a type that the protocol does not have; invalidValues for strings whose bytes cannot be
 * known (ort-strings.ts).
 */
export function fromOrt(name: string, tensor: OrtTensor, holdsBytes: () => boolean = () => false): Tensor {
  const datatype = elementTypeOfRuntime(tensor.type)?.datatype
  if (datatype === undefined) {
    const message = `tensor "${name}" is of type ${tensor.type}, which cannot be sent`
    throw new ScissionError('internal', message, { tensor: name })
  }
  const shape = [...tensor.dims]
  const { data } = tensor
  if (Array.isArray(data)) return { name, datatype, shape, bytes: encodeMade(name, data, holdsBytes) }
  return { name, datatype, shape, bytes: new Uint8Array(data.buffer, data.byteOffset, data.byteLength) }
}
