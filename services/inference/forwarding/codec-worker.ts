/**
 * The codec thread itself: encodes and decodes one tensor after another. Like an executor thread it waits (slowdown - 1)
 * times the CPU time of each, so that a machine that is emulated as slower is slower at this too.
 */
import { workerData } from 'node:worker_threads'
import type { CodedTensor } from '../../../shared/codec/index.ts'
import { decodeTensor, encodeTensor } from '../../../shared/platform/tensor-codecs.ts'
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { cpuTimer } from '../serving/executor/cpu-time.ts'
import { SlowDown } from '../serving/executor/slow-down.ts'
import type { CodecResult, CodecThreadSettings, CodecWork } from './codec-thread.ts'

const { slowdown } = workerData as CodecThreadSettings
const slowDown = new SlowDown(slowdown)
const timer = cpuTimer(1)

serveWork<CodecWork, CodecResult>(
  (work) => {
    const startedAt = performance.now()
    const cpuSinceMs = timer()
    const made = perform(work)
    slowDown.wait(cpuSinceMs())
    return { tensor: work.tensor, made, tookMs: performance.now() - startedAt }
  },
  ({ tensor, made }) => [...new Set([tensor.bytes.buffer, made.bytes.buffer])] as ArrayBuffer[],
)

function perform(work: CodecWork): CodedTensor {
  if (work.kind === 'encode') return encodeTensor(work.tensor, work.codec)
  return decodeTensor(work.tensor, work.maxBytes)
}
