/**
 * Reads a calibration request sent as a form. Field `request` holds the JSON, `labels` a JSON list or a .npy file. Every
 * other field is a file of samples: a .npy file under the name of its input, or a .npz file whose arrays have the names of
 * the inputs (the only way for an input that is itself called `request` or `labels`).
 *
 *   curl -F 'request={"model":"mnist"}' -F Input3=@images.npy -F labels=@labels.npy …/v1/calibrations
 */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import { isNpy, isNpz, readNpy, readNpz } from './numpy.ts'
import { typedView } from '../../../shared/oip/typed-view.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { openParser } from '../models/receive-upload.ts'

export interface FormRequest {
  json: Record<string, unknown>
  inputs: Tensor[] | undefined
}

const REQUEST = 'request'
const LABELS = 'labels'
/** Holds a list of 100,000 labels as text. */
const FIELD_BYTES = 1024 * 1024

export const isForm = (req: IncomingMessage): boolean =>
  /^multipart\/form-data\b/i.test(req.headers['content-type'] ?? '')

/**
 * @param limitBytes maximum of all fields together, and of the unpacked content of each archive.
 * @throws ScissionError badRequest, invalidTensor, payloadTooLarge.
 */
export async function receiveForm(req: IncomingMessage, limitBytes: number): Promise<FormRequest> {
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
  const parser = openParser(req, FIELD_BYTES)
  const parts = new Map<string, Promise<Uint8Array>>()
  const streams: Readable[] = []
  const budget = { left: limitBytes }
  const failed = new Promise<never>((_resolve, reject) => {
    const add = (name: string, content: Promise<Uint8Array>) => {
      content.catch(reject)
      if (parts.has(name)) reject(new ScissionError('badRequest', `two form fields are named "${name}"`))
      parts.set(name, content)
    }
    parser.on('file', (name, stream) => {
      streams.push(stream)
      stream.on('error', reject)
      add(name, contentOf(stream, budget, limitBytes))
    })
    parser.on('field', (name, value, _nameCut, valueCut) => {
      if (valueCut) reject(tooLarge(FIELD_BYTES, `form field "${name}"`))
      add(name, Promise.resolve(Buffer.from(value)))
    })
    parser.on('error', (thrown) =>
      reject(new ScissionError('badRequest', `the form cannot be read: ${coerceError(thrown).message}`)),
    )
    parser.on('partsLimit', () => reject(new ScissionError('badRequest', 'the form has too many parts')))
  })
  failed.catch(() => undefined)
  try {
    await Promise.race([pipeline(req.iterator({ destroyOnReturn: false }), parser), failed])
    const entries = [...parts].map(async ([name, content]) => [name, await content] as const)
    return new Map(await Promise.race([Promise.all(entries), failed]))
  } catch (thrown) {
    for (const stream of streams) stream.destroy(coerceError(thrown))
    await Promise.allSettled(parts.values())
    if (thrown instanceof ScissionError) throw thrown
    throw new ScissionError('badRequest', `the request was interrupted: ${coerceError(thrown).message}`)
  }
}

async function contentOf(
  stream: Readable,
  budget: { left: number },
  limitBytes: number,
): Promise<Uint8Array> {
  const chunks: Buffer[] = []
  for await (const chunk of stream as AsyncIterable<Buffer>) {
    budget.left -= chunk.byteLength
    if (budget.left < 0) throw tooLarge(limitBytes, 'the form')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks)
}

const tooLarge = (limit: number, what: string) =>
  new ScissionError('payloadTooLarge', `${what} may take ${limit} bytes in one request; send fewer samples`)
