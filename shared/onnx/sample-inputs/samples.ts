/** The data of a model's samples: the inputs' elements one after another, as `Samples` describes them. */
import { createHash } from 'node:crypto'
import type { Samples } from '../../contracts/model.ts'
import type { Tensor } from '../../contracts/tensor.ts'
import { ScissionError } from '../../platform/errors.ts'

/** Name of the file in the model's folder; it begins like the other files that belong to Scission there. */
export const samplesFile = ({ sha256 }: Pick<Samples, 'sha256'>): string => `${sha256.slice(0, 12)}.samples`

/** @returns the description of these tensors, and the data. */
export function describeSamples(tensors: readonly Tensor[]): { samples: Samples; data: Uint8Array } {
  const data = Buffer.concat(tensors.map(({ bytes }) => bytes))
  const inputs = tensors.map(({ name, datatype, shape, bytes }) => ({
    name,
    datatype,
    shape,
    bytes: bytes.byteLength,
  }))
  const samples = {
    sha256: createHash('sha256').update(JSON.stringify(inputs)).update(data).digest('hex'),
    bytes: data.byteLength,
    inputs,
    givenAt: new Date().toISOString(),
  }
  return { samples, data }
}

/** The tensors in the data. @throws ScissionError internal if the data is not what is described. */
export function readSamples(data: Uint8Array, { inputs, bytes: total, sha256 }: Samples): Tensor[] {
  if (data.byteLength !== total)
    throw new ScissionError('internal', `samples ${sha256} have ${data.byteLength} bytes instead of ${total}`)
  let at = 0
  return inputs.map(({ name, datatype, shape, bytes }) => {
    // Copied: the data of an input begins where another ends, which need not be a multiple of its element size.
    const own = new Uint8Array(data.subarray(at, at + bytes))
    at += bytes
    return { name, datatype, shape, bytes: own }
  })
}
