/**
 * Works this resource's benchmark queue, one job at a time: fetch the whole model, profile it in a child process,
 * store the profile. A part is given up when its stop or cancel key appears in Redis. A job that was lost in the middle
 * is taken up again: measured anew, or ended at once when its profile had been stored.
 */
import { type Job, UnrecoverableError, Worker } from 'bullmq'
import type { Redis } from 'ioredis'
import type { Structure } from '../../../shared/contracts/model.ts'
import { BenchmarkJobData, type BenchmarkProgress, type Profile } from '../../../shared/contracts/profile.ts'
import type { Machine, RuntimeOptions } from '../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { withErrorHandler, workerOptions } from '../../../shared/platform/redis/connections.ts'
import { profileId, type State, structureId } from '../../../shared/platform/redis/state.ts'
import type { Engine } from '../serving/engine.ts'
import { resourceQueue } from '../../../shared/platform/redis/queues.ts'
import { workCalibration } from './calibrations/calibration-job.ts'
import { CALIBRATION_JOB } from '../../../shared/contracts/calibration.ts'
import { keepProfile, keptProfile } from './keep-profile.ts'
import { stopSignal } from './stop-signal.ts'

export interface BenchmarkWorkerParts {
  resource: string
  connection: Redis
  state: State
  store: Engine['store']
  profile: Engine['profile']
  options: RuntimeOptions
  machine: Machine
  slowdown: number
  /** Where a calibration's samples are fetched. */
  benchmarkUrl: string
  requestsServed: () => number
  log: Logger
}

export function startBenchmarkWorker(parts: BenchmarkWorkerParts): { close: () => Promise<void> } {
  const stopping = new AbortController()
  const queue = resourceQueue(parts.resource)
  const worker = withErrorHandler(
    new Worker(queue, (job: Job) => work(parts, job, stopping.signal), {
      ...workerOptions(parts.connection),
      concurrency: 1,
    }),
    queue,
    parts.log,
  )
  return {
    close: async () => {
      stopping.abort(new ScissionError('cancelled', `resource ${parts.resource} is stopping`))
      await worker.close()
    },
  }
}

/** @returns the profile's id, where the benchmark service looks for it. */
async function work(parts: BenchmarkWorkerParts, job: Job, stopping: AbortSignal): Promise<string> {
  const { log, state } = parts
  if (job.name === CALIBRATION_JOB) return workCalibration(parts, job, stopping)
  const data = BenchmarkJobData.parse(job.data)
  const stop = await stopSignal(state.redis, data.benchmark, parts.resource)
  const signal = AbortSignal.any([stopping, stop.signal])
  try {
    signal.throwIfAborted()
    const kept = await keptProfile(state, job)
    if (kept !== undefined) return kept
    log.info({ benchmark: data.benchmark, model: data.model }, `benchmark ${data.benchmark} begins`)
    const profile = await measure(parts, data, relay(job, log), signal)
    await keepProfile(state, job, profile, signal, log)
    log.info(
      { benchmark: data.benchmark, medianMs: profile.whole.medianMs },
      `benchmark ${data.benchmark}: ${profile.whole.medianMs.toFixed(2)} ms`,
    )
    return profile.id
  } catch (thrown) {
    // The child says that it was aborted; why is known here.
    const error = signal.aborted ? coerceError(signal.reason) : coerceError(thrown)
    log.warn(
      { err: error, benchmark: data.benchmark },
      `benchmark ${data.benchmark} failed: ${error.message}`,
    )
    // Measuring again would fail again, or has been given up: never retried by the queue.
    throw new UnrecoverableError(error.message)
  } finally {
    stop.release()
  }
}

async function measure(
  parts: BenchmarkWorkerParts,
  data: BenchmarkJobData,
  report: (progress: BenchmarkProgress) => void,
  signal: AbortSignal,
): Promise<Profile> {
  const { model, shapesKey } = data
  const options = { ...parts.options, ...withoutUndefined(data.options) }
  report({ fraction: 0, step: 'fetching the model' })
  const structure = await parts.state.structures.need(structureId(model, shapesKey))
  checkMemory(parts, structure)
  const key = { model, shapesKey, from: 0, to: structure.layers.length }
  const range = await parts.store.open(key, signal)
  try {
    if (range.path === null)
      throw new ScissionError('invalidModel', `model ${model} has no layers to measure`)
    const request = {
      path: range.path,
      structure,
      runs: data.runs,
      options,
      slowdown: parts.slowdown,
      requestsServed: parts.requestsServed,
    }
    const measurement = await parts.profile(request, report, signal)
    const identity = { model, shapesKey, resource: parts.resource, options }
    return {
      id: profileId(identity),
      ...identity,
      machine: parts.machine,
      slowdown: parts.slowdown,
      emulated: parts.slowdown > 1,
      ...measurement,
    }
  } finally {
    range.release()
  }
}

function withoutUndefined(options: BenchmarkJobData['options']): Partial<RuntimeOptions> {
  const { threads, optimisation } = options
  return { ...(threads !== undefined && { threads }), ...(optimisation !== undefined && { optimisation }) }
}

/** At most this often: each report is a round trip to Redis. */
const REPORT_MS = 100

function relay(job: Job, log: Logger): (progress: BenchmarkProgress) => void {
  let last = 0
  let step = ''
  return (progress) => {
    const now = Date.now()
    if (now - last < REPORT_MS && progress.step === step && progress.fraction < 1) return
    last = now
    step = progress.step
    job
      .updateProgress(progress)
      .catch((error: unknown) => log.debug({ err: coerceError(error) }, 'progress was not reported'))
  }
}

/** Weights alone, before anything is fetched: what ONNX Runtime needs beside them shows when it loads them. */
function checkMemory({ machine, resource }: BenchmarkWorkerParts, structure: Structure): void {
  if (structure.weightBytes <= machine.memoryBytes) return
  throw new ScissionError(
    'invalidModel',
    `model ${structure.model} has ${structure.weightBytes} bytes of weights, ` +
      `more than the ${machine.memoryBytes} bytes of memory of ${resource}; a stage of it may fit: leave ${resource} out`,
    { weightBytes: structure.weightBytes, memoryBytes: machine.memoryBytes },
  )
}
