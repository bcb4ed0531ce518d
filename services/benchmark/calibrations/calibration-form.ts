/**
 * Reads a calibration request sent as a form. Field `request` holds the JSON, `labels` a JSON list or a .npy file. Every
 * other field is a file of samples: a .npy file under the name of its input, or a .npz file whose arrays have the names of
 * the inputs (the only way for an input that is itself called `request` or `labels`).
 *
 *   curl -F 'request={"model":"mnist"}' -F Input3=@images.npy -F labels=@labels.npy …/v1/calibrations
 */
import type { IncomingMessage } from 'node:http'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { isNpy, isNpz, readNpy, readNpz } from '../../../shared/tensors/read-numpy.ts'
import { typedView } from '../../../shared/oip/typed-view.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ByteBudget, interrupted, readForm } from '../read-form.ts'

export interface ReceivedRequest {
  /** The JSON without `inputs`. */
  json: Record<string, unknown>
  /** Undefined if the request has no sample inputs. */
  inputs: Tensor[] | undefined
}

const REQUEST = 'request'
const LABELS = 'labels'
/** Holds a list of 100,000 labels as text. */
const FIELD_BYTES = 1024 * 1024

/**
 * @param limitBytes maximum of all fields together, and of the unpacked content of each archive.
 * @throws ScissionError badRequest, invalidTensor, payloadTooLarge.
 */
export async function receiveForm(req: IncomingMessage, limitBytes: number): Promise<ReceivedRequest> {
  const parts = await readParts(req, limitBytes)
  const json = objectOf(parts.get(REQUEST))
  const labels = parts.get(LABELS)
  if (labels) json['labels'] = labelsOf(labels)
  const inputs = [...parts]
    .filter(([name]) => name !== REQUEST && name !== LABELS)
    .flatMap(([name, bytes]) => samplesOf(name, bytes, limitBytes))
  return { json, inputs: inputs.length > 0 ? inputs : undefined }
}

function samplesOf(name: string, bytes: Uint8Array, limitBytes: number): Tensor[] {
  const owner = `form field "${name}"`
  if (isNpy(bytes)) return [{ name, ...readNpy(bytes, owner) }]
  if (isNpz(bytes))
    return [...readNpz(bytes, owner, limitBytes)].map(([input, array]) => ({ name: input, ...array }))
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

/** Field name → content. A client may send any field as plain text or as a file. */
async function readParts(req: IncomingMessage, limitBytes: number): Promise<Map<string, Uint8Array>> {
  const budget = new ByteBudget(limitBytes, () => tooLarge(limitBytes, 'the form'))
  try {
    const parts = await readForm<[string, Uint8Array]>(req, {
      fieldBytes: FIELD_BYTES,
      onFile: async (name, content) => [name, await budget.collect(content)],
      onField: async (name, value, cut) => {
        if (cut) throw tooLarge(FIELD_BYTES, `form field "${name}"`)
        const content = Buffer.from(value)
        budget.spend(content.byteLength)
        return [name, content]
      },
    })
    const names = parts.map(([name]) => name)
    const twice = names.find((name, index) => names.indexOf(name) < index)
    if (twice !== undefined) throw new ScissionError('badRequest', `two form fields are named "${twice}"`)
    return new Map(parts)
  } catch (thrown) {
    throw interrupted(thrown)
  }
}

const tooLarge = (limit: number, what: string) =>
  new ScissionError('payloadTooLarge', `${what} may take ${limit} bytes in one request; send fewer samples`)
