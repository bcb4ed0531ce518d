/**
 * Tensor codecs: what crosses a link smaller than it was made. Pure: bytes in, bytes out.
 *
 *   names.ts      what a codec's name says
 *   codec.ts      a tensor to its wire form and back, self-describing
 *   linear.ts     8, 6, 4 and 2 bits; half.ts: fp16; entropy.ts: Zstandard behind either
 *   simd/         the inner loops as WebAssembly, written out in TypeScript, and as plain loops
 */
export { availableCodecs, codecOf, type CodedTensor, decodeTensor, encodeTensor } from './tensor-codec.ts'
export { type Codec, losesNothing, parseCodec } from './codec-name.ts'
