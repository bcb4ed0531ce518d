/**
 * Tensor codecs: make a tensor smaller before it crosses a link, and restore it behind the link. Pure TypeScript: bytes
 * in, bytes out, nothing of Node. A native Zstandard library is handed in (shared/platform/tensor-codecs.ts does it).
 *
 *   tensor-codec.ts         encodes a tensor into a self-describing UINT8 tensor, and decodes it
 *   codec-name.ts           parses and writes codec names: `q4c-zstd`
 *   linear-quantisation.ts  8, 6, 4 and 2 bits per element
 *   half-precision.ts       fp16
 *   zstandard.ts            Zstandard frames, checked before they are unpacked
 *   simd/                   the inner loops as WebAssembly SIMD, and as plain loops
 */
export { type Codec, codecName, losesNothing, parseCodec } from './codec-name.ts'
export {
  CODEC,
  codecOf,
  type CodedTensor,
  createTensorCodecs,
  declaredForm,
  type DeclaredTensor,
  type TensorCodecs,
} from './tensor-codec.ts'
export type { ZstdLibrary } from './zstandard.ts'
