/**
 * Receives a calibration request sent as a form. Field `request` holds the JSON, `labels` a JSON list or a .npy file. Every
 * other field is a file of samples: a .npy file under the name of its input, or a .npz file whose arrays have the names of
 * the inputs (the only way for an input that is itself called `request` or `labels`).
 *
 *   curl -F 'request={"model":"mnist"}' -F Input3=@images.npy -F labels=@labels.npy …/v1/calibrations
 */
import type { IncomingMessage } from 'node:http'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { ByteBudget, interrupted, readForm } from '../read-form.ts'
import type { SampleReader } from '../samples/sample-reader.ts'
import type { ReceivedRequest } from './read-request.ts'

/** Holds a list of 100,000 labels as text. */
const FIELD_BYTES = 1024 * 1024

/**
 * @param samples reads them; its limit holds for all fields together, and for their unpacked content.
 * @throws ScissionError badRequest, invalidTensor, payloadTooLarge, tooManyRequests, overloaded.
 */
export async function receiveForm(
  req: IncomingMessage,
  samples: Pick<SampleReader, 'limitBytes' | 'readFields'>,
  asker: Asker,
): Promise<ReceivedRequest> {
  return samples.readFields(await receiveParts(req, samples.limitBytes), asker)
}

/** Field name → content. A client may send any field as plain text or as a file. */
async function receiveParts(req: IncomingMessage, limitBytes: number): Promise<Map<string, Uint8Array>> {
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
