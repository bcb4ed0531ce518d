/**
 * Encoded answers: a request that says `scission_codec` gets its outputs packed with that codec, in the form in which hops send
 * tensors to each other. A requested output may say another one, or `none`.
 */
import { CODEC, type CodedTensor, parseCodec } from '../../../shared/codec/index.ts'
import type { CodecName } from '../../../shared/contracts/calibration.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { type Parameters, textParameter } from '../../../shared/oip/parameters.ts'
import type { InferRequest } from '../../../shared/oip/request-message.ts'
import type { BoundaryCodec } from '../forwarding/boundary-codec.ts'

/** The codec of an output; undefined if it stays as it is. */
export type OutputCodecs = (output: string) => CodecName | undefined

/** @throws ScissionError badRequest for a name that is no codec, before anything is computed. */
export function wantedCodecs({ parameters, outputs }: InferRequest): OutputCodecs {
  const all = codecIn(parameters, 'the request')
  const single = new Map(
    outputs?.map((output) => [output.name, codecIn(output.parameters, `output '${output.name}'`)]),
  )
  return (output) => {
    const codec = single.get(output) ?? all
    return codec === 'none' ? undefined : codec
  }
}

function codecIn(parameters: Parameters, owner: string): CodecName | undefined {
  const text = textParameter(parameters, CODEC, owner)
  return text === undefined ? undefined : parseCodec(text).name
}

/**
 * Encodes the outputs of an answer. One for which its codec does nothing stays as it is, without the parameters of an encoded
 * tensor. @throws ScissionError overloaded, cancelled, unsupportedEncoding (`zstd` without a library).
 */
export function encodeOutputs(
  codec: Pick<BoundaryCodec, 'encodeOne'>,
  outputs: readonly { tensor: Tensor; binary: boolean }[],
  codecs: OutputCodecs,
  signal: AbortSignal,
): Promise<{ tensor: CodedTensor; binary: boolean }[]> {
  return Promise.all(
    outputs.map(async ({ tensor, binary }) => {
      const name = codecs(tensor.name)
      return { tensor: name === undefined ? tensor : await codec.encodeOne(tensor, name, signal), binary }
    }),
  )
}
