/** Entry of the message thread, which parses, writes and compresses one message after another. */
import { parseInferRequest } from '../../../shared/oip/request-message.ts'
import { writeInferResponse } from '../../../shared/oip/response-message.ts'
import { BELOW_SERVING, giveWayInThread } from '../../../shared/platform/processes/priority.ts'
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { movableBuffers } from './buffer-memory.ts'
import { compress } from './compress.ts'
import type { MessageJob, MessageResult } from './message-codec.ts'

// Tens of milliseconds for each message: whoever asks for little would wait for a core meanwhile.
giveWayInThread(BELOW_SERVING)
serveWork(perform, (result) => movableBuffers(viewsOf(result)))

function perform(job: MessageJob): MessageResult {
  if (job.kind === 'pack') return { kind: 'packed', bytes: compress[job.encoding](job.parts) }
  if (job.kind === 'write') return { kind: 'written', message: writeInferResponse(job.response) }
  return { kind: 'parsed', request: parseInferRequest(job.json, job.binary, job.model) }
}

function viewsOf(result: MessageResult): Uint8Array[] {
  if (result.kind === 'parsed') return result.request.inputs.map((input) => input.bytes)
  if (result.kind === 'packed') return [result.bytes]
  return [result.message.json, ...result.message.binary]
}
