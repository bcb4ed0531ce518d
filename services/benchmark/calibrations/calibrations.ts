/**
 * Starts calibrations: checks the request, stores the samples, and adds one job to the queue of one resource. Reads their
 * records, and cancels or deletes them.
 */
import { randomBytes } from 'node:crypto'
import type { Job } from 'bullmq'
import { availableCodecs } from '../../../shared/platform/tensor-codecs.ts'
import {
  type Calibration,
  CALIBRATION_JOB,
  type CalibrationJobData,
  CalibrationRequest,
  type CalibrationSamples,
  type CodecName,
} from '../../../shared/contracts/calibration.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import { type Resource, withLiveness } from '../../../shared/contracts/resource.ts'
import type { Grant, Holdings } from '../../../shared/platform/access/holdings.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import type { Asker } from '../../../shared/platform/fair-queue.ts'
import { validate } from '../../../shared/platform/http-server/route.ts'
import { cancelKey } from '../../../shared/platform/redis/queues.ts'
import { checkWritable } from '../../../shared/platform/redis/writable.ts'
import { findModel, type State } from '../../../shared/platform/redis/state.ts'
import { type BenchmarkQueues, CANCEL_SECONDS, KEEP_ENDED, promptly } from '../benchmarks/benchmark-queues.ts'
import { isUnderWay } from '../benchmarks/benchmark-view.ts'
import { inTurn, type JobTurn } from '../job-turns.ts'
import type { SampleReader } from '../samples/sample-reader.ts'
import type { Analyses } from '../models/analyses.ts'
import type { ReceivedRequest } from './read-request.ts'
import { sampleBytes, type SampleFiles } from './sample-files.ts'
import { noteUnderWay } from './watched-calibrations.ts'

/** A calibration this young may not be in its queue yet. */
const JOB_FOLLOWS_MS = 10_000

/** An output with this many axes longer than 1 is not the output of a classifier. */
const CLASS_AXES = 2

/** Dependencies of starting, listing and ending calibrations. */
export interface CalibrationDeps {
  state: State
  queues: BenchmarkQueues
  analyses: Pick<Analyses, 'structure'>
  samples: SampleFiles
  /** Reads the samples that come with a request. */
  reader: SampleReader
  holdings: Holdings
  heartbeatMs: number
}

/**
 * @param grant of a job, and of bytes for the samples.
 * @throws ScissionError badRequest, invalidTensor, notFound, conflict (no resource is alive), tooManyRequests, queueUnavailable; as
 * `inTurn`.
 */
export async function startCalibration(
  deps: CalibrationDeps,
  received: ReceivedRequest,
  asker: Asker,
  { owner, bytes: mayTake, tooManyBytes }: Grant,
): Promise<Calibration> {
  const request = validate(CalibrationRequest, received.json, 'request')
  const model = await findModel(deps.state, request.model)
  const structure = await deps.analyses.structure(model, asker, request.inputShapes)
  const resource = await chooseResource(deps, request.resource)
  const boundaries = chooseBoundaries(structure, request.boundaries)
  const codecs = chooseCodecs(request.codecs)
  const id = `${model.id.slice(0, 12)}-${randomBytes(6).toString('hex')}`
  const { about, bytes } = samplesOf(id, structure, request, received)
  if (about.bytes > mayTake) throw tooManyBytes()
  const record: Calibration = {
    id,
    model: model.id,
    shapesKey: structure.shapesKey,
    resource: resource.name,
    codecs,
    boundaries,
    samples: about.count,
    sampleSource: about.kind,
    sampleBytes: about.bytes,
    labelled: about.labels !== undefined,
    state: 'waiting',
    progress: { fraction: 0, step: 'waiting' },
    cells: [],
    notes: notesOf(structure, about),
    owner,
    // By this clock the latest of several is found, whichever service they were asked of.
    createdAt: deps.state.clock.timestamp(),
  }
  return promptly(deps.state.redis, async () => {
    // Before its turn: others wait for theirs meanwhile, and samples take long to write.
    await deps.samples.keep(about, bytes)
    let isTaken = false
    try {
      await inTurn(deps.queues, [resource.name], asker, (turn) => {
        isTaken = true
        return enqueue(deps, record, turn)
      })
    } catch (thrown) {
      // One whose job may be in the queue needs them.
      if (!isTaken) await deps.samples.forget(id)
      throw thrown
    }
    return record
  })
}

async function enqueue(
  { state, queues }: CalibrationDeps,
  record: Calibration,
  { asker, rounds }: JobTurn,
): Promise<void> {
  const { id, resource } = record
  await state.calibrations.put(id, record)
  await noteUnderWay(state.redis, id)
  const data: CalibrationJobData = { calibration: id, asker }
  const priority = rounds.get(resource) ?? 0
  await queues.of(resource).add(CALIBRATION_JOB, data, { jobId: id, priority, ...KEEP_ENDED })
}

function samplesOf(
  id: string,
  structure: Structure,
  request: CalibrationRequest,
  { inputs }: ReceivedRequest,
): { about: CalibrationSamples; bytes: Uint8Array | undefined } {
  const { madeUp, labels } = request
  if ((inputs === undefined) === (madeUp === undefined)) {
    throw new ScissionError(
      'badRequest',
      "give sample inputs in 'inputs', or ask for made-up ones with 'madeUp': one of the two",
    )
  }
  if (madeUp) {
    if (labels) throw new ScissionError('badRequest', 'labels: made-up samples have none')
    const { samples: count, seed } = madeUp
    return { about: { calibration: id, kind: 'made-up', count, seed, bytes: 0 }, bytes: undefined }
  }
  const { count, bytes } = sampleBytes(structure.inputs, inputs ?? [])
  if (labels && labels.length !== count)
    throw new ScissionError('badRequest', `labels: ${labels.length} labels for ${count} samples`)
  return { about: { calibration: id, kind: 'given', count, bytes: bytes.byteLength, labels }, bytes }
}

function notesOf({ outputs }: Structure, { kind }: CalibrationSamples): string[] {
  const [output, ...others] = outputs
  const classes = (output?.shape ?? []).filter((dim) => dim !== 1).length < CLASS_AXES
  return [
    ...(kind === 'made-up'
      ? ['the samples are made up: bytes and errors hold for noise, accuracy is not bounded']
      : []),
    ...(others.length > 0 || !classes
      ? [
          `agreement and accuracy compare the largest element of output "${output?.name}", ` +
            `shape [${output?.shape.join(',')}]${others.length > 0 ? `; ${others.length} more outputs are not looked at` : ''}`,
        ]
      : []),
  ]
}

/** The requested boundaries, or all clean single-tensor cuts. Other single-tensor boundaries need cutting there to be allowed. */
function chooseBoundaries(structure: Structure, asked: readonly number[] | undefined): number[] {
  const count = structure.layers.length
  if (asked === undefined) {
    return structure.boundaries
      .filter(({ k, single, clean }) => k < count && single && clean)
      .map(({ k }) => k)
  }
  for (const k of asked) {
    const boundary = structure.boundaries[k]
    if (k < count && boundary?.single && boundary.allowed) continue
    const why =
      k >= count
        ? `the model has ${count} layers, so boundaries 0..${count - 1}`
        : boundary?.single
          ? `cutting there would change results: ${boundary.why ?? 'inside a pattern'}`
          : `${boundary?.tensors.length ?? 0} tensors cross it; codecs are calibrated where one does`
    throw new ScissionError('badRequest', `boundaries: ${k}: ${why}`, { boundary: k })
  }
  return [...new Set(asked)].sort((a, b) => a - b)
}

function chooseCodecs(asked: readonly CodecName[] | undefined): CodecName[] {
  const available = availableCodecs().filter((name) => name !== 'none')
  if (asked === undefined) return available
  for (const name of asked) {
    if (available.includes(name)) continue
    throw new ScissionError(
      'badRequest',
      `codecs: ${name} is not available here; there are ${available.join(', ')}`,
    )
  }
  return [...new Set(asked)]
}

async function chooseResource(
  { state, heartbeatMs }: CalibrationDeps,
  asked: string | undefined,
): Promise<Resource> {
  const now = await state.clock.read()
  const known = (await state.resources.all()).map((one) => withLiveness(one, heartbeatMs, now))
  const found =
    asked === undefined ? known.find(({ alive }) => alive) : known.find(({ name }) => name === asked)
  if (found?.alive) return found
  // If Redis takes no heartbeats, that is the fault, not the machines.
  await checkWritable(state.redis)
  const names = known.map(({ name }) => name)
  if (asked !== undefined && !found)
    throw new ScissionError('notFound', `unknown resource "${asked}"; known: ${names.join(', ')}`, {
      known: names,
    })
  throw new ScissionError(
    'conflict',
    found
      ? `resource ${found.name} is down: no heartbeat since ${found.heartbeatAt}`
      : 'no resource is alive',
  )
}

/** The record, or a failed one if its job was lost with its resource or with Redis: it would stay under way for ever. */
export async function withLostJob(deps: CalibrationDeps, record: Calibration): Promise<Calibration> {
  if (!isUnderWay(record.state)) return record
  const job: Job | undefined = await deps.queues.of(record.resource).getJob(record.id)
  const state = await job?.getState()
  if (job && state !== 'failed' && state !== 'completed') return record
  // The worker may have written the end between the two reads.
  const now = (await deps.state.calibrations.get(record.id)) ?? record
  if (!isUnderWay(now.state)) return now
  // Its record is written first, and its job a moment later.
  const ageMs = (await deps.state.clock.read()) - Date.parse(now.createdAt)
  if (!job && ageMs < JOB_FOLLOWS_MS) return now
  return { ...now, state: 'failed', error: job?.failedReason ?? 'its job is no longer in the queue' }
}

/**
 * Cancels a calibration that is under way, which stays on record. Deletes one that has ended, with its samples.
 * @returns the record, or undefined if it was deleted. @throws ScissionError notFound.
 */
export async function endCalibration(deps: CalibrationDeps, id: string): Promise<Calibration | undefined> {
  const { state, queues, samples } = deps
  const record = await withLostJob(deps, await state.calibrations.need(id))
  if (!isUnderWay(record.state)) {
    await state.calibrations.delete(id)
    await samples.forget(id)
    return undefined
  }
  await state.redis.set(cancelKey(id), '1', 'EX', CANCEL_SECONDS)
  const job: Job | undefined = await queues.of(record.resource).getJob(id)
  // Fails if a worker holds the job: that worker finds the cancel key and writes the end of the calibration.
  const removed = await job?.remove().then(
    () => true,
    () => false,
  )
  if (removed) {
    const endedAt = state.clock.timestamp()
    await state.calibrations.update(id, (current) =>
      current && isUnderWay(current.state)
        ? { ...current, state: 'cancelled', error: 'cancelled before it started', endedAt }
        : current,
    )
  }
  return state.calibrations.get(id)
}
