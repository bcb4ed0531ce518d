/**
 * The sample inputs of calibrations. A request brings them as Open Inference Protocol tensors with a leading axis of
 * samples (JSON or binary), or as NumPy files in a form (calibration-form.ts). They are stored in the data folder until
 * the calibration is deleted: `<id>.bin` holds one sample after another, each with its inputs in the model's order, and
 * `<id>.json` holds the number of samples and their labels.
 */
import { rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import { CalibrationSamples } from '../../../shared/contracts/calibration.ts'
import type { TensorSpec } from '../../../shared/contracts/common.ts'
import { readIfThere, statIfThere } from '../../../shared/platform/atomic-file.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { makeFolder, OWN_FOLDER } from '../../../shared/platform/make-folder.ts'
import { checkJsonLength, JSON_LENGTH_HEADER, readJsonLength } from '../../../shared/oip/binary-message.ts'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ByteBudget, interrupted, isForm } from '../read-form.ts'
import { samplesTooLarge } from '../samples/read-samples.ts'
import { FORM_OVERHEAD_BYTES } from '../samples/receive-samples.ts'
import type { SampleReader } from '../samples/sample-reader.ts'
import { receiveForm } from './calibration-form.ts'
import type { ReceivedRequest } from './read-request.ts'

/** @param samples reads them, and limits them. @throws ScissionError badRequest, invalidTensor, payloadTooLarge, tooManyRequests, overloaded. */
export async function receiveRequest(
  req: IncomingMessage,
  samples: SampleReader,
  asker: Asker,
): Promise<ReceivedRequest> {
  const { limitBytes } = samples
  if (Number(req.headers['content-length'] ?? 0) > limitBytes + FORM_OVERHEAD_BYTES)
    throw samplesTooLarge(limitBytes)
  if (isForm(req)) return receiveForm(req, samples, asker)
  const header = req.headers[JSON_LENGTH_HEADER]
  const jsonLength = readJsonLength(typeof header === 'string' ? header : undefined)
  const body = await readBody(req, limitBytes)
  if (jsonLength !== undefined) checkJsonLength(jsonLength, body.byteLength)
  return samples.readRequest(body, jsonLength ?? body.byteLength, asker)
}

async function readBody(req: IncomingMessage, limitBytes: number): Promise<Uint8Array> {
  const budget = new ByteBudget(limitBytes, () => samplesTooLarge(limitBytes))
  try {
    return await budget.collect(req.iterator({ destroyOnReturn: false }))
  } catch (thrown) {
    throw interrupted(thrown)
  }
}

/**
 * Orders the given tensors as they are stored: one sample after another, each with its inputs in the model's order.
 * @param given one tensor per input, of shape [samples, ...input shape]. A leading 1 of the input shape may be left out.
 * @throws ScissionError invalidTensor.
 */
export function sampleBytes(
  specs: readonly TensorSpec[],
  given: readonly Tensor[],
): { count: number; bytes: Uint8Array } {
  const unknown = given.find(({ name }) => !specs.some((spec) => spec.name === name))
  if (unknown) {
    const names = specs.map((spec) => spec.name).join(', ')
    throw new ScissionError('invalidTensor', `unexpected input '${unknown.name}'; the model has ${names}`)
  }
  const ordered = specs.map((spec) =>
    checkedInput(
      spec,
      given.find(({ name }) => name === spec.name),
    ),
  )
  const counts = new Set(ordered.map(({ count }) => count))
  const [count = 0] = counts
  if (counts.size > 1 || count === 0) {
    const told = specs.map(({ name }, index) => `${name} has ${ordered[index]?.count}`).join(', ')
    throw new ScissionError(
      'invalidTensor',
      `every input needs the same number of samples, at least 1: ${told}`,
    )
  }
  const each = specs.reduce((sum, spec) => sum + spec.bytes, 0)
  const bytes = new Uint8Array(each * count)
  let at = 0
  for (let index = 0; index < count; index += 1) {
    for (const { tensor, size } of ordered) {
      bytes.set(tensor.bytes.subarray(index * size, (index + 1) * size), at)
      at += size
    }
  }
  return { count, bytes }
}

function checkedInput(
  { name, datatype, shape, bytes: size }: TensorSpec,
  tensor: Tensor | undefined,
): { tensor: Tensor; count: number; size: number } {
  const refuse = (why: string) =>
    new ScissionError('invalidTensor', `input '${name}': ${why}`, { input: name })
  if (!tensor) throw refuse('no samples are given for it')
  if (datatype === 'BYTES' || shape.some((dim) => dim < 0))
    throw refuse('calibrations need inputs of a fixed size')
  if (tensor.datatype !== datatype) throw refuse(`it takes ${datatype}, not ${tensor.datatype}`)
  const [count = 0, ...each] = tensor.shape
  const fits = each.join() === shape.join() || (shape[0] === 1 && each.join() === shape.slice(1).join())
  if (!fits) {
    throw refuse(
      `samples must have the shape [samples,${shape.join(',')}], they have [${tensor.shape.join(',')}]`,
    )
  }
  return { tensor, count, size }
}

export class SampleFiles {
  readonly #folder: string

  constructor(dataDir: string) {
    this.#folder = path.join(dataDir, 'calibrations')
  }

  async keep(about: CalibrationSamples, bytes: Uint8Array | undefined): Promise<void> {
    await makeFolder(this.#folder, OWN_FOLDER)
    if (bytes) await writeFile(this.#file(about.calibration, 'bin'), bytes)
    await writeFile(this.#file(about.calibration, 'json'), JSON.stringify(about))
  }

  /** @throws ScissionError notFound. */
  async about(id: string): Promise<CalibrationSamples> {
    const text = await readIfThere(this.#file(id, 'json'))
    if (text === undefined) throw noSamples(id)
    return CalibrationSamples.parse(JSON.parse(text))
  }

  /** The file of the samples, to be sent. @throws ScissionError notFound. */
  async file(id: string): Promise<{ path: string; bytes: number }> {
    const file = this.#file(id, 'bin')
    const found = await statIfThere(file)
    if (found) return { path: file, bytes: found.size }
    throw noSamples(id)
  }

  async forget(id: string): Promise<void> {
    for (const kind of ['bin', 'json'] as const) await rm(this.#file(id, kind), { force: true })
  }

  #file(id: string, kind: 'bin' | 'json'): string {
    return path.join(this.#folder, `${id}.${kind}`)
  }
}

const noSamples = (id: string) => new ScissionError('notFound', `calibration "${id}" has no samples here`)
