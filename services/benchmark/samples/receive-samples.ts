/** Receives samples: as parts of an upload's form, or as a request of their own. */
import type { IncomingMessage } from 'node:http'
import type { Readable } from 'node:stream'
import { z } from 'zod'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { checkJsonLength, JSON_LENGTH_HEADER, readJsonLength } from '../../../shared/oip/binary-message.ts'
import { ByteBudget, interrupted, isForm, readForm } from '../read-form.ts'
import { type SampleFile, samplesTooLarge } from './read-samples.ts'

/** The form field that holds samples: a file, or JSON as plain text. */
export const SAMPLES_FIELD = 'samples'
/** Its description for OpenAPI. */
export const SamplesPart = z
  .array(z.file())
  .min(1)
  .describe('values for the inputs: a .npz file, JSON with `inputs`, or .npy files named like their inputs')
/** Longer JSON is sent as a file. */
const TEXT_BYTES = 1024 * 1024

/** The samples of one form: their files together are limited in size. */
export class SampleParts {
  readonly files: SampleFile[] = []
  readonly textBytes: number
  readonly #budget: ByteBudget

  constructor(limitBytes: number) {
    this.textBytes = Math.min(TEXT_BYTES, limitBytes)
    this.#budget = new ByteBudget(limitBytes, () => samplesTooLarge(limitBytes))
  }

  /** @throws ScissionError payloadTooLarge. */
  async addFile(content: Readable, name: string | undefined): Promise<void> {
    this.files.push({ name, bytes: await this.#budget.collect(content) })
  }

  /** @param cut true if the text was longer than `textBytes`. @throws ScissionError badRequest. */
  addText(text: string, cut: boolean): void {
    if (cut)
      throw new ScissionError(
        'badRequest',
        `form field "${SAMPLES_FIELD}": as text it may have ${this.textBytes} bytes; send a file: -F samples=@inputs.json`,
      )
    const bytes = Buffer.from(text)
    this.#budget.spend(bytes.byteLength)
    this.files.push({ name: undefined, bytes })
  }
}

/**
 * Receives a request that consists of samples: a form with fields `samples`, or the content of one file as the body.
 * @param limitBytes maximum of the body. @throws ScissionError badRequest, payloadTooLarge.
 */
export async function receiveSamples(req: IncomingMessage, limitBytes: number): Promise<SampleFile[]> {
  if (Number(req.headers['content-length'] ?? 0) > limitBytes + FORM_OVERHEAD_BYTES)
    throw samplesTooLarge(limitBytes)
  try {
    return isForm(req) ? await formSamples(req, limitBytes) : [await bodySamples(req, limitBytes)]
  } catch (thrown) {
    throw interrupted(thrown)
  }
}

/** Allowance for the part headers of a form. */
export const FORM_OVERHEAD_BYTES = 256 * 1024

async function formSamples(req: IncomingMessage, limitBytes: number): Promise<SampleFile[]> {
  const parts = new SampleParts(limitBytes)
  const refuseOthers = (field: string) => {
    if (field === SAMPLES_FIELD) return
    throw new ScissionError('badRequest', `unknown form field "${field}"; there is "${SAMPLES_FIELD}"`)
  }
  await readForm<void>(req, {
    fieldBytes: parts.textBytes,
    onFile: async (field, content, name) => {
      refuseOthers(field)
      await parts.addFile(content, name)
    },
    onField: async (field, text, cut) => {
      refuseOthers(field)
      parts.addText(text, cut)
    },
  })
  return parts.files
}

async function bodySamples(req: IncomingMessage, limitBytes: number): Promise<SampleFile> {
  const header = req.headers[JSON_LENGTH_HEADER]
  const jsonBytes = readJsonLength(typeof header === 'string' ? header : undefined)
  const budget = new ByteBudget(limitBytes, () => samplesTooLarge(limitBytes))
  const bytes = await budget.collect(req.iterator({ destroyOnReturn: false }))
  if (jsonBytes !== undefined) checkJsonLength(jsonBytes, bytes.byteLength)
  return { name: undefined, bytes, jsonBytes }
}
