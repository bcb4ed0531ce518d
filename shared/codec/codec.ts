/**
 * A tensor on its way through a codec. Encoded, it is a UINT8 tensor of one axis under the same name, which says in its
 * parameters what it was:
 *
 *   scission_codec      what was done to it: `q8-zstd`
 *   scission_datatype   the datatype it had
 *   scission_shape      the shape it had, as JSON: `[1,64,56,56]`
 *
 * Rules:
 * - Lossy parts are for FP32. Any other fixed-size datatype goes through the entropy part alone, or as it is.
 * - A tensor with NaN or infinity is not quantised, nor one with magnitudes beyond 65504 made half: there is no step
 *   that would fit. It goes through the entropy part alone, or as it is, and comes back bit by bit.
 * - What would grow stays as it is: a part that does not make the bytes fewer is left out, and the parameters say so.
 * - Empty tensors and BYTES tensors stay as they are.
 */
import { CodecName } from '../contracts/calibration.ts'
import { DATATYPES, type Datatype } from '../contracts/common.ts'
import { ScissionError } from '../platform/errors.ts'
import { OWN_PREFIX, type Parameters } from '../oip/parameters.ts'
import { byteLength, elementCount, type Tensor } from '../contracts/tensor.ts'
import { channelsOf } from './channels.ts'
import { hasEntropy, pack, unpack } from './entropy.ts'
import { decodeHalf, encodeHalf, LARGEST_HALF } from './half.ts'
import { decodeLinear, encodeLinear, linearBytes, rangesOf } from './linear.ts'
import { BIT_WIDTHS, type Codec, codecName, parseCodec } from './names.ts'

export type CodedTensor = Tensor & { parameters?: Parameters }

const CODEC = `${OWN_PREFIX}codec`
const DATATYPE = `${OWN_PREFIX}datatype`
const SHAPE = `${OWN_PREFIX}shape`

/** Every codec that this process can encode and decode, `none` first. */
export function availableCodecs(): CodecName[] {
  const lossy: Codec['lossy'][] = [
    { kind: 'none' },
    { kind: 'half' },
    ...BIT_WIDTHS.flatMap((bits) =>
      [false, true].map((perChannel) => ({ kind: 'linear' as const, bits, perChannel })),
    ),
  ]
  const entropies = (['none', 'zstd'] as const).filter(hasEntropy)
  return lossy.flatMap((one) => entropies.map((entropy) => codecName(one, entropy)))
}

/** @returns the tensor itself, or one with bytes of its own; the given one stays as it is. */
export function encodeTensor(tensor: Tensor, name: CodecName): CodedTensor {
  const codec = parseCodec(name)
  if (tensor.bytes.byteLength === 0 || tensor.datatype === 'BYTES') return tensor
  const lossy = encodeLossy(tensor, codec.lossy)
  const packed = codec.entropy === 'none' ? lossy.bytes : pack(lossy.bytes, codec.entropy)
  const shrunk = packed.byteLength < lossy.bytes.byteLength
  const bytes = shrunk ? packed : lossy.bytes
  const done = codecName(lossy.done, shrunk ? codec.entropy : 'none')
  if (done === 'none') return tensor
  return {
    name: tensor.name,
    datatype: 'UINT8',
    shape: [bytes.byteLength],
    bytes,
    parameters: {
      [CODEC]: done,
      [DATATYPE]: tensor.datatype,
      [SHAPE]: JSON.stringify(tensor.shape),
    },
  }
}

function encodeLossy(
  { datatype, shape, bytes }: Tensor,
  lossy: Codec['lossy'],
): { bytes: Uint8Array; done: Codec['lossy'] } {
  const asItIs = { bytes, done: { kind: 'none' } as const }
  if (lossy.kind === 'none' || datatype !== 'FP32') return asItIs
  const count = bytes.byteLength / 4
  const channels = channelsOf(shape, count, lossy.kind === 'linear' && lossy.perChannel)
  const ranges = rangesOf(bytes, channels)
  if (!Number.isFinite(ranges.magnitude)) return asItIs
  if (lossy.kind === 'half') {
    return ranges.magnitude > LARGEST_HALF ? asItIs : { bytes: encodeHalf(bytes), done: lossy }
  }
  if (linearBytes(count, channels, lossy.bits) >= bytes.byteLength) return asItIs
  return {
    bytes: encodeLinear(bytes, channels, ranges, lossy.bits),
    done: { ...lossy, perChannel: channels.count > 1 },
  }
}

/** What was done to a tensor that arrived; undefined when nothing was. */
export const codecOf = (tensor: CodedTensor): string | undefined => {
  const given = tensor.parameters?.[CODEC]
  return given === undefined ? undefined : String(given)
}

/**
 * The tensor as it was before `encodeTensor`, with bytes of its own; one that was not encoded is given back.
 * @param maxBytes most bytes that the decoded tensor may have.
 * @throws ScissionError unsupportedEncoding for a codec that this process does not know; invalidTensor when the
 *   parameters and the bytes do not fit each other; payloadTooLarge.
 */
export function decodeTensor(tensor: CodedTensor, maxBytes: number): Tensor {
  const name = codecOf(tensor)
  if (name === undefined) return tensor
  const codec = knownCodec(tensor, name)
  const datatype = datatypeOf(tensor, codec)
  const shape = shapeOf(tensor)
  if (tensor.datatype !== 'UINT8')
    throw refuse(tensor, `a tensor encoded with ${name} travels as UINT8, not as ${tensor.datatype}`)
  const bytes = byteLength(datatype, shape)
  if (bytes > maxBytes) throw tooLarge(tensor, bytes, maxBytes)
  return { name: tensor.name, datatype, shape, bytes: decodeBytes(tensor, codec, shape, bytes) }
}

function decodeBytes(tensor: CodedTensor, codec: Codec, shape: readonly number[], bytes: number): Uint8Array {
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
  const packed = entropy === 'none' ? tensor.bytes : unpack(tensor.bytes, entropy, expected)
  if (lossy.kind === 'half') return decodeHalf(packed)
  return lossy.kind === 'linear' ? decodeLinear(packed, count, channels, lossy.bits) : packed
}

function knownCodec(tensor: CodedTensor, name: string): Codec {
  const parsed = CodecName.safeParse(name)
  if (parsed.success && parsed.data !== 'none') return parseCodec(parsed.data)
  throw new ScissionError(
    'unsupportedEncoding',
    `input '${tensor.name}' is encoded with "${name.slice(0, 40)}", which this resource does not know; ` +
      `it knows ${availableCodecs().join(', ')}`,
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
