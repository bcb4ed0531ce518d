/**
 * The sample inputs of calibrations. A request brings them as Open Inference Protocol tensors with a leading axis of
 * samples (JSON or binary), or as NumPy files in a form (calibration-form.ts). They are stored in the data folder until
 * the calibration is deleted: `<id>.bin` holds one sample after another, each with its inputs in the model's order, and
 * `<id>.json` holds the number of samples and their labels.
 */
import { mkdir, readFile, rm, writeFile } from 'node:fs/promises'
import type { IncomingMessage } from 'node:http'
import path from 'node:path'
import { CalibrationSamples } from '../../../shared/contracts/calibration.ts'
import type { TensorSpec } from '../../../shared/contracts/common.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { JsonObject } from '../../../shared/oip/exact-json.ts'
import {
  checkJsonLength,
  JSON_LENGTH_HEADER,
  parseObject,
  readJsonLength,
  readTensors,
} from '../../../shared/oip/binary-message.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ByteBudget, interrupted, isForm } from '../read-form.ts'
import { type ReceivedRequest, receiveForm } from './calibration-form.ts'

/** Maximum size of a request, JSON and tensors together. */
const MAX_BODY_BYTES = 256 * 1024 * 1024

/** @throws ScissionError badRequest, invalidTensor, payloadTooLarge. */
export async function receiveRequest(req: IncomingMessage): Promise<ReceivedRequest> {
  if (Number(req.headers['content-length'] ?? 0) > MAX_BODY_BYTES) throw tooLarge()
  if (isForm(req)) return receiveForm(req, MAX_BODY_BYTES)
  const header = req.headers[JSON_LENGTH_HEADER]
  const jsonLength = readJsonLength(typeof header === 'string' ? header : undefined)
  const body = await readBody(req)
  if (jsonLength !== undefined) checkJsonLength(jsonLength, body.byteLength)
  const at = jsonLength ?? body.byteLength
  const message: JsonObject = parseObject(body.subarray(0, at))
  const { inputs: given, ...json } = message
  if (given === undefined) {
    if (at < body.byteLength)
      throw new ScissionError(
        'badRequest',
        `${body.byteLength - at} bytes follow the JSON, which has no 'inputs'`,
      )
    return { json, inputs: undefined }
  }
  return { json, inputs: readTensors(message, 'input', body.subarray(at), 'calibration') }
}

const tooLarge = () =>
  new ScissionError('payloadTooLarge', `samples may take ${MAX_BODY_BYTES} bytes in one request; send fewer`)

async function readBody(req: IncomingMessage): Promise<Uint8Array> {
  try {
    return await new ByteBudget(MAX_BODY_BYTES, tooLarge).collect(req.iterator({ destroyOnReturn: false }))
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
    await mkdir(this.#folder, { recursive: true })
    if (bytes) await writeFile(this.#file(about.calibration, 'bin'), bytes)
    await writeFile(this.#file(about.calibration, 'json'), JSON.stringify(about))
  }

  /** @throws ScissionError notFound. */
  async about(id: string): Promise<CalibrationSamples> {
    return CalibrationSamples.parse(JSON.parse((await this.#read(id, 'json')).toString()))
  }

  /** @throws ScissionError notFound. */
  async bytes(id: string): Promise<Buffer> {
    return this.#read(id, 'bin')
  }

  async forget(id: string): Promise<void> {
    for (const kind of ['bin', 'json'] as const) await rm(this.#file(id, kind), { force: true })
  }

  async #read(id: string, kind: 'bin' | 'json'): Promise<Buffer> {
    try {
      return await readFile(this.#file(id, kind))
    } catch (thrown) {
      throw new ScissionError('notFound', `calibration "${id}" has no samples here`, undefined, thrown)
    }
  }

  #file(id: string, kind: 'bin' | 'json'): string {
    return path.join(this.#folder, `${id}.${kind}`)
  }
}
