/**
 * The codec thread itself: encodes and decodes one tensor after another. Like an executor thread it waits (slowdown - 1)
 * times the CPU time of each, so that a machine that is emulated as slower is slower at this too.
 */
import { parentPort, workerData } from 'node:worker_threads'
import { type CodedTensor, decodeTensor, encodeTensor } from '../../../shared/codec/index.ts'
import { toScissionError } from '../../../shared/http/errors.ts'
import { cpuTimer } from '../executor/cpu-time.ts'
import { SlowDown } from '../executor/slow-down.ts'
import type { CodecAnswer, CodecJob, CodecThreadSettings } from './codec-thread.ts'

const port = parentPort
if (port === null) throw new Error('codec-worker.ts runs as a worker thread of codec-thread.ts')
const { slowdown } = workerData as CodecThreadSettings
const slowDown = new SlowDown(slowdown)
const timer = cpuTimer(1)

port.on('message', (job: CodecJob) => {
  try {
    const startedAt = performance.now()
    const cpuSinceMs = timer()
    const made = perform(job)
    slowDown.wait(cpuSinceMs())
    const { id, tensor } = job
    const answer: CodecAnswer = { kind: 'made', id, tensor, made, tookMs: performance.now() - startedAt }
    port.postMessage(answer, [...new Set([tensor.bytes.buffer, made.bytes.buffer])] as ArrayBuffer[])
  } catch (thrown) {
    const { code, message, details } = toScissionError(thrown)
    port.postMessage({ kind: 'failed', id: job.id, code, message, details } satisfies CodecAnswer)
  }
})

function perform(job: CodecJob): CodedTensor {
  if (job.kind === 'encode') return encodeTensor(job.tensor, job.codec)
  return decodeTensor(job.tensor, job.maxBytes)
}
