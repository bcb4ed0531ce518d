/** The message thread itself: parses and writes one message after another. */
import { parentPort } from 'node:worker_threads'
import { toScissionError } from '../../../shared/http/errors.ts'
import { parseInferRequest } from '../../../shared/oip/request.ts'
import { writeInferResponse } from '../../../shared/oip/response.ts'
import {
  type MessageFailure,
  type MessageJob,
  type MessageResult,
  movable,
  type Numbered,
} from './message-work.ts'

const port = parentPort
port?.on('message', ({ id, work }: Numbered<MessageJob>) => {
  try {
    const result = perform(work)
    port.postMessage({ id, work: result } satisfies Numbered<MessageResult>, movable(viewsOf(result)))
  } catch (error) {
    const { code, message, details } = toScissionError(error)
    port.postMessage({
      id,
      work: { kind: 'failed', code, message, details },
    } satisfies Numbered<MessageFailure>)
  }
})

function perform(job: MessageJob): MessageResult {
  if (job.kind === 'write') return { kind: 'written', message: writeInferResponse(job.response) }
  return { kind: 'parsed', request: parseInferRequest(job.json, job.binary, job.model) }
}

function viewsOf(result: MessageResult): Uint8Array[] {
  if (result.kind === 'parsed') return result.request.inputs.map((input) => input.bytes)
  return [result.message.json, ...result.message.binary]
}
