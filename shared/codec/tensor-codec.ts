/**
 * Encodes a tensor for the way over a link and decodes it again. An encoded tensor is a UINT8 tensor of one axis under
 * the same name; its parameters say what it was before:
 *
 *   scission_codec      the codec that was applied: `q8-zstd`
 *   scission_datatype   the original datatype
 *   scission_shape      the original shape, as JSON: `[1,64,56,56]`
 *
 * Rules:
 * - The lossy part applies to FP32 only. A tensor of any other fixed-size datatype gets the entropy part alone.
 * - A tensor with NaN or infinity is not quantised, and one with magnitudes above 65504 is not converted to fp16: no
 *   step size would fit. It gets the entropy part alone and is restored bit by bit.
 * - A part that does not reduce the number of bytes is left out, and `scission_codec` names only the parts applied.
 * - Empty tensors and BYTES tensors are never encoded.
 */
import { CodecName } from '../contracts/calibration.ts'
import { DATATYPES, type Datatype } from '../contracts/common.ts'
import { byteLength, elementCount, type Tensor } from '../contracts/tensor.ts'
import { OWN_PREFIX, type Parameters } from '../oip/parameters.ts'
import { ScissionError } from '../platform/errors.ts'
import { BIT_WIDTHS, type Codec, codecName, parseCodec } from './codec-name.ts'
import { decodeHalf, encodeHalf, MAX_HALF } from './half-precision.ts'
import { channelsOf, decodeLinear, encodeLinear, linearBytes, rangesOf } from './linear-quantisation.ts'
import { Zstandard, type ZstdLibrary } from './zstandard.ts'

/** A tensor that may be encoded: `parameters` then hold what it was before. */
export type CodedTensor = Tensor & { parameters?: Parameters }

const CODEC = `${OWN_PREFIX}codec`
const DATATYPE = `${OWN_PREFIX}datatype`
const SHAPE = `${OWN_PREFIX}shape`

export interface TensorCodecs {
  /**
   * Every codec that `encodeTensor` and `decodeTensor` can apply, `none` first; without a Zstandard library, those
   * without `zstd`.
   */
  availableCodecs: () => CodecName[]
  /**
   * The tensor itself if no part of the codec applies, else a new tensor with memory of its own. The given tensor is
   * never changed.
   * @throws ScissionError badRequest for an unknown codec name; unsupportedEncoding for `zstd` without a library.
   */
  encodeTensor: (tensor: Tensor, name: CodecName) => CodedTensor
  /**
   * The tensor as it was before `encodeTensor`, with memory of its own; the given tensor if it is not encoded.
   * @param maxBytes upper limit for the bytes of the decoded tensor.
   * @throws ScissionError unsupportedEncoding for a codec that is not available; invalidTensor if the parameters and
   *   the bytes contradict each other; payloadTooLarge.
   */
  decodeTensor: (tensor: CodedTensor, maxBytes: number) => Tensor
}

/**
 * The tensor codecs, with a Zstandard library or without.
 * @param loadZstd is called once, when a codec with `zstd` is first needed; it throws if this platform has no library.
 * @example
 * const { encodeTensor, decodeTensor } = createTensorCodecs()
 * const encoded = encodeTensor(tensor, 'q8') // a UINT8 tensor; its parameter scission_codec is 'q8'
 * const decoded = decodeTensor(encoded, 2 ** 20) // datatype and shape of `tensor`, at most 1 MiB
 */
export function createTensorCodecs(loadZstd: () => ZstdLibrary = noLibrary): TensorCodecs {
  const zstd = new Zstandard(loadZstd)
  return {
    availableCodecs: () => availableNames(zstd),
    encodeTensor: (tensor, name) => encode(tensor, parseCodec(name), zstd),
    decodeTensor: (tensor, maxBytes) => decode(tensor, maxBytes, zstd),
  }
}

function noLibrary(): never {
  throw new Error('none was provided')
}

function availableNames(zstd: Zstandard): CodecName[] {
  const lossy: Codec['lossy'][] = [
    { kind: 'none' },
    { kind: 'half' },
    ...BIT_WIDTHS.flatMap((bits) =>
      [false, true].map((perChannel) => ({ kind: 'linear' as const, bits, perChannel })),
    ),
  ]
  const entropies: Codec['entropy'][] = zstd.isAvailable ? ['none', 'zstd'] : ['none']
  return lossy.flatMap((one) => entropies.map((entropy) => codecName(one, entropy)))
}

function encode(tensor: Tensor, codec: Codec, zstd: Zstandard): CodedTensor {
  if (tensor.bytes.byteLength === 0 || tensor.datatype === 'BYTES') return tensor
  const lossy = encodeLossy(tensor, codec.lossy)
  const packed = codec.entropy === 'none' ? lossy.bytes : zstd.pack(lossy.bytes)
  const isSmaller = packed.byteLength < lossy.bytes.byteLength
  const bytes = isSmaller ? packed : lossy.bytes
  const applied = codecName(lossy.applied, isSmaller ? codec.entropy : 'none')
  if (applied === 'none') return tensor
  return {
    name: tensor.name,
    datatype: 'UINT8',
    shape: [bytes.byteLength],
    bytes,
    parameters: {
      [CODEC]: applied,
      [DATATYPE]: tensor.datatype,
      [SHAPE]: JSON.stringify(tensor.shape),
    },
  }
}

function encodeLossy(
  { datatype, shape, bytes }: Tensor,
  lossy: Codec['lossy'],
): { bytes: Uint8Array; applied: Codec['lossy'] } {
  const unchanged = { bytes, applied: { kind: 'none' } as const }
  if (lossy.kind === 'none' || datatype !== 'FP32') return unchanged
  const count = bytes.byteLength / 4
  const channels = channelsOf(shape, count, lossy.kind === 'linear' && lossy.perChannel)
  const ranges = rangesOf(bytes, channels)
  if (!Number.isFinite(ranges.magnitude)) return unchanged
  if (lossy.kind === 'half') {
    return ranges.magnitude > MAX_HALF ? unchanged : { bytes: encodeHalf(bytes), applied: lossy }
  }
  if (linearBytes(count, channels, lossy.bits) >= bytes.byteLength) return unchanged
  return {
    bytes: encodeLinear(bytes, channels, ranges, lossy.bits),
    applied: { ...lossy, perChannel: channels.count > 1 },
  }
}

/**
 * The codec that an encoded tensor names, whether it is known or not; undefined if the tensor is not encoded.
 * @example
 * codecOf(encodeTensor(tensor, 'q8-zstd')) // 'q8-zstd', or 'q8' if Zstandard would not have reduced the bytes
 * codecOf(tensor) // undefined
 */
export function codecOf(tensor: CodedTensor): string | undefined {
  const given = tensor.parameters?.[CODEC]
  return given === undefined ? undefined : String(given)
}

function decode(tensor: CodedTensor, maxBytes: number, zstd: Zstandard): Tensor {
  const name = codecOf(tensor)
  if (name === undefined) return tensor
  const codec = knownCodec(tensor, name, zstd)
  const datatype = datatypeOf(tensor, codec)
  const shape = shapeOf(tensor)
  if (tensor.datatype !== 'UINT8')
    throw refuse(tensor, `a tensor encoded with ${name} travels as UINT8, not as ${tensor.datatype}`)
  const bytes = byteLength(datatype, shape)
  if (bytes > maxBytes) throw tooLarge(tensor, bytes, maxBytes)
  return { name: tensor.name, datatype, shape, bytes: decodeBytes(tensor, codec, shape, bytes, zstd) }
}

/** @param bytes size of the decoded tensor. */
function decodeBytes(
  tensor: CodedTensor,
  codec: Codec,
  shape: readonly number[],
  bytes: number,
  zstd: Zstandard,
): Uint8Array {
  const { lossy, entropy } = codec
  const count = bytes / 4
  const channels = channelsOf(shape, count, lossy.kind === 'linear' && lossy.perChannel)
  const expected =
    lossy.kind === 'none'
      ? bytes
      : lossy.kind === 'half'
        ? bytes / 2
        : linearBytes(count, channels, lossy.bits)
  if (entropy === 'none' && tensor.bytes.byteLength !== expected) {
    throw refuse(
      tensor,
      `${codec.name} of shape [${shape.join(',')}] takes ${expected} bytes, ${tensor.bytes.byteLength} came`,
    )
  }
  const packed = entropy === 'none' ? tensor.bytes : zstd.unpack(tensor.bytes, expected)
  if (lossy.kind === 'half') return decodeHalf(packed)
  return lossy.kind === 'linear' ? decodeLinear(packed, count, channels, lossy.bits) : packed
}

function knownCodec(tensor: CodedTensor, name: string, zstd: Zstandard): Codec {
  const parsed = CodecName.safeParse(name)
  if (parsed.success && parsed.data !== 'none') return parseCodec(parsed.data)
  throw new ScissionError(
    'unsupportedEncoding',
    `input '${tensor.name}' is encoded with "${name.slice(0, 40)}", which this resource does not know; ` +
      `it knows ${availableNames(zstd).join(', ')}`,
  )
}

function datatypeOf(tensor: CodedTensor, codec: Codec): Exclude<Datatype, 'BYTES'> {
  const given = tensor.parameters?.[DATATYPE]
  const datatype = DATATYPES.find((known) => known === given)
  if (datatype === undefined || datatype === 'BYTES')
    throw refuse(tensor, `'${DATATYPE}' must be a datatype of fixed size, got: ${String(given).slice(0, 40)}`)
  if (codec.lossy.kind === 'none' || datatype === 'FP32') return datatype
  throw refuse(tensor, `codec ${codec.name} is for FP32 tensors, this one was ${datatype}`)
}

function shapeOf(tensor: CodedTensor): number[] {
  const text = tensor.parameters?.[SHAPE]
  const fits = typeof text === 'string' && /^\[(\d{1,15}(,\d{1,15}){0,31})?\]$/.test(text)
  const shape = fits ? (JSON.parse(text) as number[]) : undefined
  if (shape === undefined)
    throw refuse(tensor, `'${SHAPE}' must be a list of dimensions such as [1,64,56,56]`)
  elementCount(shape)
  return shape
}

const refuse = (tensor: CodedTensor, why: string) =>
  new ScissionError('invalidTensor', `input '${tensor.name}': ${why}`, { tensor: tensor.name })

const tooLarge = (tensor: CodedTensor, bytes: number, maxBytes: number) =>
  new ScissionError(
    'payloadTooLarge',
    `input '${tensor.name}' would decode to ${bytes} bytes, the limit is ${maxBytes}`,
    { bytes, maxBytes },
  )
