/**
 * Entry of the codec thread, which encodes and decodes one tensor after another. Like an executor thread it waits
 * (slowdown − 1) × the CPU time of each, so that an emulated slower machine is also slower at this.
 */
import { workerData } from 'node:worker_threads'
import { serveWork } from '../../../shared/platform/threads/serve-work.ts'
import { cpuTimer, SlowDown } from '../serving/executor/cpu-time.ts'
import { type CodecResult, type CodecThreadSettings, type CodecWork, runCodec } from './boundary-codec.ts'

const { slowdown } = workerData as CodecThreadSettings
const slowDown = new SlowDown(slowdown)
const timer = cpuTimer(1)

serveWork<CodecWork, CodecResult>(
  (work) => {
    const startedAt = performance.now()
    const cpuSinceMs = timer()
    const made = runCodec(work)
    slowDown.wait(cpuSinceMs())
    return { tensor: work.tensor, made, tookMs: performance.now() - startedAt }
  },
  ({ tensor, made }) => [...new Set([tensor.bytes.buffer, made.bytes.buffer])] as ArrayBuffer[],
)
