/**
 * Encodes a tensor for the way over a link and decodes it again. An encoded tensor is a UINT8 tensor of one axis under
 * the same name; its parameters say what it was before:
 *
 *   scission_codec      the codec that was applied: `q8-zstd`
 *   scission_datatype   the original datatype
 *   scission_shape      the original shape, as JSON: `[1,64,56,56]`, or `[1, 64, 56, 56]`
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

/** Parameter of an encoded tensor; of a request or of a requested output, it asks for encoded outputs. */
export const CODEC = `${OWN_PREFIX}codec`
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
   * @throws ScissionError invalidTensor for a codec that does not exist, or if the parameters and the bytes contradict
   *   each other; payloadTooLarge; unsupportedEncoding for `zstd` without a library.
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
 * The codec that an encoded tensor names, whether it is known or not; undefined if the tensor is not encoded, or says `none`.
 * @example
 * codecOf(encodeTensor(tensor, 'q8-zstd')) // 'q8-zstd', or 'q8' if Zstandard would not have reduced the bytes
 * codecOf(tensor) // undefined
 */
export function codecOf(tensor: CodedTensor): string | undefined {
  const given = tensor.parameters?.[CODEC]
  return given === undefined || given === 'none' ? undefined : String(given)
}

/** What an encoded tensor says that it was: its form, and the bytes that it takes once it is decoded. */
export interface DeclaredTensor extends Omit<Tensor, 'bytes'> {
  datatype: Exclude<Datatype, 'BYTES'>
  byteCount: number
}

/**
 * Reads what an encoded tensor was from its parameters alone, so that a receiver can refuse it before anything is decoded.
 * @returns undefined if the tensor is not encoded.
 * @throws ScissionError invalidTensor if its parameters name no codec, datatype or shape, or ones that do not fit together.
 * @example
 * declaredForm(encodeTensor(tensor, 'q8')) // { name: 'x', datatype: 'FP32', shape: [1, 64, 56, 56], byteCount: 802816 }
 */
export function declaredForm(tensor: CodedTensor): DeclaredTensor | undefined {
  const name = codecOf(tensor)
  return name === undefined ? undefined : formOf(tensor, knownCodec(tensor, name))
}

function formOf(tensor: CodedTensor, codec: Codec): DeclaredTensor {
  const datatype = datatypeOf(tensor, codec)
  const shape = shapeOf(tensor)
  if (tensor.datatype !== 'UINT8')
    throw refuse(tensor, `a tensor encoded with ${codec.name} travels as UINT8, not as ${tensor.datatype}`)
  return { name: tensor.name, datatype, shape, byteCount: byteLength(datatype, shape) }
}

function decode(tensor: CodedTensor, maxBytes: number, zstd: Zstandard): Tensor {
  const name = codecOf(tensor)
  if (name === undefined) return tensor
  const codec = knownCodec(tensor, name)
  const { datatype, shape, byteCount } = formOf(tensor, codec)
  if (byteCount > maxBytes) throw tooLarge(tensor, byteCount, maxBytes)
  try {
    return { name: tensor.name, datatype, shape, bytes: decodeBytes(tensor, codec, shape, byteCount, zstd) }
  } catch (error) {
    if (!(error instanceof ScissionError) || error.code !== 'invalidTensor' || error.details?.['tensor'])
      throw error
    // Frames and ranges do not know whose they are.
    throw refuse(tensor, error.message)
  }
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

function knownCodec(tensor: CodedTensor, name: string): Codec {
  const parsed = CodecName.safeParse(name)
  if (parsed.success) return parseCodec(parsed.data)
  throw refuse(
    tensor,
    `it is encoded with "${name.slice(0, 40)}", which is no codec; ` +
      `codecs are ${NAMES.join(', ')}, and each of the lossy ones with -zstd behind it`,
  )
}

/** Without the combinations of a lossy part and Zstandard. */
const NAMES = ['zstd', 'fp16', ...BIT_WIDTHS.flatMap((bits) => [`q${bits}`, `q${bits}c`])]

function datatypeOf(tensor: CodedTensor, codec: Codec): Exclude<Datatype, 'BYTES'> {
  const given = tensor.parameters?.[DATATYPE]
  const datatype = DATATYPES.find((known) => known === given)
  if (datatype === undefined || datatype === 'BYTES')
    throw refuse(tensor, `'${DATATYPE}' must be a datatype of fixed size, got: ${String(given).slice(0, 40)}`)
  if (codec.lossy.kind === 'none' || datatype === 'FP32') return datatype
  throw refuse(tensor, `codec ${codec.name} is for FP32 tensors, this one was ${datatype}`)
}

/** JSON of a list of whole numbers: writers differ in whether they put blanks into it. */
const SHAPE_TEXT =
  /^[ \t\r\n]*\[[ \t\r\n]*(?:(?:0|[1-9]\d{0,14})(?:[ \t\r\n]*,[ \t\r\n]*(?:0|[1-9]\d{0,14})){0,31})?[ \t\r\n]*\][ \t\r\n]*$/
const MAX_SHAPE_CHARACTERS = 1000

function shapeOf(tensor: CodedTensor): number[] {
  const text = tensor.parameters?.[SHAPE]
  const fits = typeof text === 'string' && text.length <= MAX_SHAPE_CHARACTERS && SHAPE_TEXT.test(text)
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
