/** Tensors as they come over a link: the parameters of an encoded one, and its bytes. */
import { CODEC, type CodedTensor, codecOf, declaredForm } from '../../../shared/codec/tensor-codec.ts'
import { availableCodecs, decodeTensor, encodeTensor } from '../../../shared/platform/tensor-codecs.ts'
import { PURE, refusing, type Target } from '../target.ts'

const MOST_BYTES = 2 ** 20
const SHAPE = [1, 8, 30, 30]

/** One line of JSON with the parameters, then the bytes. */
const written = ({ parameters, bytes }: CodedTensor): Buffer =>
  Buffer.concat([Buffer.from(`${JSON.stringify(parameters ?? {})}\n`), bytes])

function encoded(input: Uint8Array): CodedTensor | undefined {
  const at = input.indexOf(10)
  const bytes = input.slice(at + 1)
  try {
    const parameters: unknown = JSON.parse(Buffer.from(input.subarray(0, Math.max(0, at))).toString())
    if (typeof parameters !== 'object' || parameters === null || Array.isArray(parameters)) return undefined
    // As `readParameters` lets them through.
    const simple = Object.entries(parameters).filter(([, value]) =>
      ['string', 'number', 'boolean'].includes(typeof value),
    )
    return {
      name: 't',
      datatype: 'UINT8',
      shape: [bytes.length],
      bytes,
      parameters: Object.fromEntries(simple),
    }
  } catch {
    return undefined
  }
}

export const codecs: Target = {
  name: 'codecs',
  share: 10,
  sample: 800,
  ...PURE,
  firstLine: true,
  open: () => {
    const count = SHAPE.reduce((product, size) => product * size, 1)
    const floats = Float32Array.from({ length: count }, (_, at) => Math.sin(at / 50))
    const tensor = {
      name: 't',
      datatype: 'FP32' as const,
      shape: SHAPE,
      bytes: new Uint8Array(floats.buffer),
    }
    return {
      seeds: availableCodecs()
        .filter((name) => name !== 'none')
        .map((name) => written(encodeTensor(tensor, name))),
      run: (input) => {
        const tensor = encoded(input)
        if (!tensor) return
        refusing(() => codecOf(tensor))
        refusing(() => declaredForm(tensor))
        refusing(() => {
          const { bytes } = decodeTensor(tensor, MOST_BYTES)
          if (
            tensor.parameters?.[CODEC] !== undefined &&
            bytes.byteLength > Math.max(MOST_BYTES, input.length)
          )
            throw new Error(`${bytes.byteLength} bytes came of it, ${MOST_BYTES} were allowed`)
        })
      },
    }
  },
}
