/** Moves weights out of a model into a file beside it. */
import { setReference } from '../../onnx/support/build.ts'
import type { ModelProto } from '../../../shared/onnx/proto/onnx_pb.ts'

/** Smaller payloads stay in the model, as exporters leave them. */
const MIN_EXTERNAL_BYTES = 256
/** Offsets are multiples of this, so that the file could be mapped into memory. */
const ALIGNMENT_BYTES = 64

/** Changes `model`. @returns the content of the file at `location`. */
export function moveWeightsOut(model: ModelProto, location: string): Uint8Array {
  const parts: Uint8Array[] = []
  let offset = 0
  for (const tensor of model.graph?.initializer ?? []) {
    const { rawData } = tensor
    if (rawData.length < MIN_EXTERNAL_BYTES) continue
    const padding = (ALIGNMENT_BYTES - (rawData.length % ALIGNMENT_BYTES)) % ALIGNMENT_BYTES
    parts.push(rawData, new Uint8Array(padding))
    setReference(tensor, location, offset, rawData.length)
    tensor.rawData = new Uint8Array()
    offset += rawData.length + padding
  }
  return Buffer.concat(parts)
}
