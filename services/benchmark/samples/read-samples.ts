/**
 * Reads files of samples: a `.npz` archive whose arrays have the names of the inputs, a `.npy` array under the name of its
 * input, or JSON with `inputs` as in the Open Inference Protocol.
 */
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { parseObject, readTensors } from '../../../shared/oip/binary-message.ts'
import { isNpy, isNpz, readNpy, readNpz } from '../../../shared/tensors/read-numpy.ts'

export interface SampleFile {
  /** As the client calls the file: a `.npy` file is named like its input. */
  name: string | undefined
  bytes: Uint8Array
  /** Length of the JSON, if binary tensors follow it. */
  jsonBytes?: number | undefined
}

const NAMES = 'name the file like its input: -F "samples=@a.npy;filename=INPUT.npy"'

/**
 * @param limitBytes maximum of the tensors of all files together.
 * @throws ScissionError invalidTensor or badRequest naming the file, payloadTooLarge.
 */
export async function readSampleFiles(files: readonly SampleFile[], limitBytes: number): Promise<Tensor[]> {
  const tensors = new Map<string, Tensor>()
  let left = limitBytes
  for (const file of files) {
    for (const { name, datatype, shape, bytes } of await readSampleFile(file, left)) {
      if (tensors.has(name))
        throw new ScissionError('invalidTensor', `samples: input "${name}" is given twice`)
      left -= bytes.byteLength
      if (left < 0) throw samplesTooLarge(limitBytes)
      tensors.set(name, { name, datatype, shape, bytes })
    }
  }
  if (tensors.size === 0) throw new ScissionError('invalidTensor', 'samples: they hold no array')
  return [...tensors.values()]
}

export const samplesTooLarge = (limitBytes: number): ScissionError =>
  new ScissionError(
    'payloadTooLarge',
    `the samples take more than ${limitBytes} bytes; the limit is set by SCISSION_MAX_SAMPLE_BYTES`,
    { limitBytes },
  )

async function readSampleFile({ name, bytes, jsonBytes }: SampleFile, limitBytes: number): Promise<Tensor[]> {
  const owner = name === undefined ? 'samples' : `samples "${name}"`
  if (isNpz(bytes))
    return [...(await readNpz(bytes, owner, limitBytes))].map(([input, array]) => ({ name: input, ...array }))
  if (isNpy(bytes)) {
    if (name === undefined)
      throw new ScissionError('invalidTensor', `${owner}: an array has no name; ${NAMES}`)
    return [{ name: name.replace(/\.npy$/, ''), ...readNpy(bytes, owner, limitBytes) }]
  }
  if (jsonBytes === undefined && !/^\s*\{/.test(Buffer.from(bytes.subarray(0, 64)).toString('latin1')))
    throw new ScissionError(
      'invalidTensor',
      `${owner}: neither a .npz nor a .npy file nor JSON like {"inputs":[{"name":…,"datatype":…,"shape":…,"data":[…]}]}`,
    )
  const at = jsonBytes ?? bytes.byteLength
  return readTensors(parseObject(bytes.subarray(0, at)), 'input', bytes.subarray(at), owner)
}
