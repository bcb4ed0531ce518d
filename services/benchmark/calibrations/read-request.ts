/**
 * Reads a calibration request that is here as a whole: the JSON with its tensors, or the fields of a form. It runs on a thread:
 * unpacking an archive and parsing long JSON take up to seconds.
 */
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { parseObject, readTensors } from '../../../shared/oip/binary-message.ts'
import type { JsonObject } from '../../../shared/oip/exact-json.ts'
import { typedView } from '../../../shared/oip/typed-view.ts'
import { isNpy, isNpz, readNpy, readNpz } from '../../../shared/tensors/read-numpy.ts'
import { samplesTooLarge } from '../samples/read-samples.ts'

export interface ReceivedRequest {
  /** The JSON without `inputs`. */
  json: Record<string, unknown>
  /** Undefined if the request has no sample inputs. */
  inputs: Tensor[] | undefined
}

const REQUEST = 'request'
const LABELS = 'labels'

/** @param jsonBytes length of the JSON. @throws ScissionError badRequest, invalidTensor. */
export function readRequest(body: Uint8Array, jsonBytes: number): ReceivedRequest {
  const message: JsonObject = parseObject(body.subarray(0, jsonBytes))
  const { inputs: given, ...json } = message
  if (given !== undefined)
    return { json, inputs: readTensors(message, 'input', body.subarray(jsonBytes), 'calibration') }
  if (jsonBytes < body.byteLength)
    throw new ScissionError(
      'badRequest',
      `${body.byteLength - jsonBytes} bytes follow the JSON, which has no 'inputs'`,
    )
  return { json, inputs: undefined }
}

/**
 * @param fields name → content. @param limitBytes maximum of the unpacked samples of all fields together.
 * @throws ScissionError badRequest, invalidTensor, payloadTooLarge.
 */
export async function readFields(
  fields: ReadonlyMap<string, Uint8Array>,
  limitBytes: number,
): Promise<ReceivedRequest> {
  const json = objectOf(fields.get(REQUEST))
  const labels = fields.get(LABELS)
  if (labels) json['labels'] = labelsOf(labels)
  const inputs: Tensor[] = []
  let left = limitBytes
  for (const [name, bytes] of fields) {
    if (name === REQUEST || name === LABELS) continue
    for (const tensor of await samplesOf(name, bytes, left)) {
      left -= tensor.bytes.byteLength
      if (left < 0) throw samplesTooLarge(limitBytes)
      inputs.push(tensor)
    }
  }
  return { json, inputs: inputs.length > 0 ? inputs : undefined }
}

async function samplesOf(name: string, bytes: Uint8Array, limitBytes: number): Promise<Tensor[]> {
  const owner = `form field "${name}"`
  if (isNpy(bytes)) return [{ name, ...readNpy(bytes, owner, limitBytes) }]
  if (isNpz(bytes))
    return [...(await readNpz(bytes, owner, limitBytes))].map(([input, array]) => ({ name: input, ...array }))
  throw new ScissionError(
    'invalidTensor',
    `${owner} is neither a .npy nor a .npz file; "${REQUEST}" holds the request, "${LABELS}" the labels`,
  )
}

function objectOf(bytes: Uint8Array | undefined): Record<string, unknown> {
  const value = bytes && jsonOf(bytes, REQUEST)
  if (typeof value === 'object' && value !== null && !Array.isArray(value)) return { ...value }
  throw new ScissionError(
    'badRequest',
    `form field "${REQUEST}" must hold a JSON object, e.g. {"model":"mnist"}`,
  )
}

function labelsOf(bytes: Uint8Array): unknown {
  if (!isNpy(bytes)) return jsonOf(bytes, LABELS)
  const array = readNpy(bytes, `form field "${LABELS}"`)
  if (array.shape.length === 1 && /^U?INT/.test(array.datatype))
    return Array.from(typedView({ name: LABELS, ...array }) as ArrayLike<number | bigint>, Number)
  throw new ScissionError('badRequest', `form field "${LABELS}": labels are one row of whole numbers`)
}

function jsonOf(bytes: Uint8Array, field: string): unknown {
  try {
    return JSON.parse(Buffer.from(bytes).toString('utf8')) as unknown
  } catch (thrown) {
    throw new ScissionError('badRequest', `form field "${field}" is not JSON: ${coerceError(thrown).message}`)
  }
}
