/**
 * Works this resource's job queue, one job at a time: fetch the whole model, profile it in a child process, store the
 * profile; calibrations are in calibrations/. A job ends early if its stop or cancel key appears in Redis. The queue gives
 * a job out again if its worker was lost: then it is measured anew, or ended at once if its profile was stored.
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { type Job, UnrecoverableError } from 'bullmq'
import type { Redis } from 'ioredis'
import type { z } from 'zod'
import type { Structure } from '../../../shared/contracts/model.ts'
import { BenchmarkJobData, type BenchmarkProgress, type Profile } from '../../../shared/contracts/profile.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../shared/platform/errors.ts'
import type { Logger } from '../../../shared/platform/log.ts'
import { check } from '../../../shared/platform/outside-input.ts'
import { profileId, type State, structureId } from '../../../shared/platform/redis/state.ts'
import type { Engine } from '../serving/engine.ts'
import {
  cancelKey,
  resourceQueue,
  stopKey,
  withErrorHandler,
  workerOptions,
} from '../../../shared/platform/redis/queues.ts'
import type { PaceSampler } from '../pace/pace-sampler.ts'
import type { Measurement, ProfileRequest } from './profiler/profile-model.ts'
import { type CalibrationDeps, workCalibration } from './calibrations/calibration-worker.ts'
import { withModelSamples } from './samples/fetch-samples.ts'
import { type JobKey, keyOf, UnwrittenEnds } from './unwritten-ends.ts'
import { PatientWorker } from '../../../shared/platform/redis/patient-worker.ts'
import { storeResult } from '../../../shared/platform/redis/store-result.ts'
import { CALIBRATION_JOB, CalibrationJobData } from '../../../shared/contracts/calibration.ts'

export interface JobWorkerDeps
  extends CalibrationDeps,
    Pick<Engine, 'profile'>,
    Pick<Resource, 'machine' | 'slowdown'> {
  resource: string
  connection: Redis
  /** Does not take a profile for other load, and takes its runs for samples. */
  pace: Pick<PaceSampler, 'pause' | 'profiled' | 'file'>
  requestsServed: () => number
}

export function startBenchmarkWorker(deps: JobWorkerDeps): { close: () => Promise<void> } {
  const stopping = new AbortController()
  const queue = resourceQueue(deps.resource)
  const ends = new UnwrittenEnds()
  const worker = withErrorHandler(
    new PatientWorker(queue, (job: Job) => ends.endOf(job, () => work(deps, job, stopping.signal)), {
      ...workerOptions(deps.connection),
      concurrency: 1,
    }),
    queue,
    deps.log,
  )
  worker.on('completed', (job) => ends.written(job)).on('failed', (job) => job && ends.written(job))
  return {
    close: async () => {
      stopping.abort(new ScissionError('cancelled', `resource ${deps.resource} is stopping`))
      await worker.close()
    },
  }
}

/** @returns what the benchmark service looks for: the profile's id, or the calibration's. */
function work(deps: JobWorkerDeps, job: Job, stopping: AbortSignal): Promise<string> {
  if (job.name === CALIBRATION_JOB) {
    const { calibration } = dataOf(CalibrationJobData, job, deps.log)
    const calibrate = (signal: AbortSignal) => workCalibration(deps, job, calibration, { signal, stopping })
    return untilStopped(deps, calibration, stopping, calibrate)
  }
  const data = dataOf(BenchmarkJobData, job, deps.log)
  return untilStopped(deps, data.benchmark, stopping, (signal) => workBenchmark(deps, job, data, signal))
}

/** Any process can add jobs to the queue: one that cannot be read fails, and is not given out again. */
function dataOf<T>(schema: z.ZodType<T>, { id, queueName, data }: Job, log: Logger): T {
  const { value, fault } = check(schema, data)
  if (fault === undefined) return value
  const message = `job ${id} of queue ${queueName} cannot be read: ${fault}`
  log.warn(message)
  throw new UnrecoverableError(message)
}

async function workBenchmark(
  deps: JobWorkerDeps,
  job: Job,
  data: BenchmarkJobData,
  signal: AbortSignal,
): Promise<string> {
  const { log, state } = deps
  try {
    signal.throwIfAborted()
    const kept = await keptProfile(state, job)
    if (kept !== undefined) return kept
    log.info({ benchmark: data.benchmark, model: data.model }, `benchmark ${data.benchmark} begins`)
    const profile = await measure(deps, data, relay(job, log), signal)
    await keepProfile(state, job, profile, signal, log)
    log.info(
      { benchmark: data.benchmark, medianMs: profile.whole.medianMs },
      `benchmark ${data.benchmark}: ${profile.whole.medianMs.toFixed(2)} ms`,
    )
    return profile.id
  } catch (thrown) {
    // The child only reports that it was aborted; the signal holds the reason.
    const error = signal.aborted ? coerceError(signal.reason) : coerceError(thrown)
    log.warn(
      { err: error, benchmark: data.benchmark },
      `benchmark ${data.benchmark} failed: ${error.message}`,
    )
    // Never retried by the queue: measuring again would fail again, or the job has been given up.
    throw new UnrecoverableError(error.message)
  }
}

async function measure(
  deps: JobWorkerDeps,
  data: BenchmarkJobData,
  report: (progress: BenchmarkProgress) => void,
  signal: AbortSignal,
): Promise<Profile> {
  const { model, shapesKey } = data
  const options = { ...deps.options, ...data.options }
  report({ fraction: 0, step: 'fetching the model' })
  const structure = await deps.state.structures.need(structureId(model, shapesKey))
  checkMemory(deps, structure)
  const key = { model, shapesKey, from: 0, to: structure.layers.length }
  const range = await deps.store.open(key, signal)
  try {
    const { path } = range
    if (path === null) throw new ScissionError('invalidModel', `model ${model} has no layers to measure`)
    const { slowdown, requestsServed } = deps
    const request = { path, structure, runs: data.runs, options, slowdown, requestsServed }
    const record = await deps.state.models.need(model)
    const measurement = await withModelSamples(deps, record, signal, (samples) =>
      measureApart(deps, { ...request, samples }, report, signal),
    )
    const identity = { model, shapesKey, resource: deps.resource, options }
    return {
      id: profileId(identity),
      ...identity,
      machine: deps.machine,
      slowdown: deps.slowdown,
      emulated: deps.slowdown > 1,
      ...(record.samples && { samples: record.samples.sha256 }),
      ...measurement,
    }
  } finally {
    range.release()
  }
}

/** Measures while the pace of the machine is not sampled by the service itself. */
async function measureApart(
  { pace, profile, options }: JobWorkerDeps,
  request: ProfileRequest,
  report: (progress: BenchmarkProgress) => void,
  signal: AbortSignal,
): Promise<Measurement> {
  const goOn = pace.pause()
  const asServed = request.options.threads === options.threads
  try {
    const referenced = { ...request, reference: pace.file, ...(asServed && { onReference: pace.profiled }) }
    return await profile(referenced, report, signal)
  } finally {
    goOn()
  }
}

/** Shortest interval between progress reports: each is a round trip to Redis. */
const REPORT_MS = 100

function relay(job: Job, log: Logger): (progress: BenchmarkProgress) => void {
  let last = -Infinity
  let step = ''
  return (progress) => {
    const now = performance.now()
    if (now - last < REPORT_MS && progress.step === step && progress.fraction < 1) return
    last = now
    step = progress.step
    job
      .updateProgress(progress)
      .catch((error: unknown) => log.debug({ err: coerceError(error) }, 'progress was not reported'))
  }
}

/** Compares the weights alone, before anything is fetched: ONNX Runtime's own needs are known only after loading. */
function checkMemory({ machine, resource }: JobWorkerDeps, structure: Structure): void {
  if (structure.weightBytes <= machine.memoryBytes) return
  throw new ScissionError(
    'invalidModel',
    `model ${structure.model} has ${structure.weightBytes} bytes of weights, ` +
      `more than the ${machine.memoryBytes} bytes of memory of ${resource}; a stage of it may fit: leave ${resource} out`,
    { weightBytes: structure.weightBytes, memoryBytes: machine.memoryBytes },
  )
}

const REMEMBER_SECONDS = 24 * 3600

const doneKey = (job: JobKey) => `scission:measured:${keyOf(job)}`

/** Stores the profile, through outages of Redis, and remembers that this job made it. @throws Redis' last error. */
export async function keepProfile(
  state: State,
  job: JobKey,
  profile: Profile,
  signal: AbortSignal,
  log: Logger,
): Promise<void> {
  const endedMs = performance.now()
  const store = async () => {
    // By Redis' clock: whether the profile is recent is asked on other machines.
    const measuredMs = (await state.clock.read()) - (performance.now() - endedMs)
    // Serving was compared with the previous profile: no reader may see that beside the new one.
    await state.served.delete(profile.id)
    await state.profiles.put(profile.id, { ...profile, measuredAt: new Date(measuredMs).toISOString() })
    await state.redis.set(doneKey(job), profile.id, 'EX', REMEMBER_SECONDS)
  }
  await storeResult(`the profile of job ${job.id}`, store, signal, log)
}

/**
 * The id of the profile if this job has made one already: its worker ended, or lost Redis, after the measurement, and the
 * queue has given the job out again.
 */
export async function keptProfile(state: State, job: JobKey): Promise<string | undefined> {
  const id = await state.redis.get(doneKey(job))
  return id !== null && (await state.profiles.has(id)) ? id : undefined
}

const STOP_POLL_MS = 250

/**
 * Works with a signal that is aborted if the job is cancelled or stopped, or the service stops. The former are keys in Redis,
 * because those who set them do not know which process runs the job; aborting kills the process that measures. The work
 * begins after the first look at the keys, so that a job that was cancelled while its worker was away is not begun.
 */
async function untilStopped(
  { state: { redis }, resource }: JobWorkerDeps,
  benchmark: string,
  stopping: AbortSignal,
  begin: (signal: AbortSignal) => Promise<string>,
): Promise<string> {
  const stopped = new AbortController()
  /** False if Redis cannot be read: its connection reports that, and the measurement goes on. */
  const look = async (): Promise<boolean> => {
    const found = await redis.mget(cancelKey(benchmark), stopKey(benchmark, resource)).catch(() => undefined)
    if (!found) return false
    const [cancelled, reason] = found
    if (typeof cancelled === 'string')
      stopped.abort(new ScissionError('cancelled', `benchmark ${benchmark} was cancelled`))
    else if (typeof reason === 'string') stopped.abort(new ScissionError('cancelled', reason))
    return true
  }
  while (!(await look()) && !stopping.aborted) await sleep(STOP_POLL_MS)
  const timer = setInterval(() => void look(), STOP_POLL_MS)
  try {
    return await begin(AbortSignal.any([stopping, stopped.signal]))
  } finally {
    clearInterval(timer)
  }
}
