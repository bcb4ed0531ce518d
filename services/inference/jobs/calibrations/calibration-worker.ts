/**
 * Works a calibration job: fetches the samples and the layers between the boundaries, runs them with every codec in a child
 * process, stores the result. The record in Redis has the progress.
 */
import { memoryBytes } from '../../../../shared/platform/usable-memory.ts'
import { createWriteStream } from 'node:fs'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { json } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import type { Job } from 'bullmq'
import { type Calibration, CalibrationSamples } from '../../../../shared/contracts/calibration.ts'
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { BenchmarkProgress } from '../../../../shared/contracts/job-progress.ts'
import type { Resource } from '../../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import type { Logger } from '../../../../shared/platform/log.ts'
import { shownTo } from '../../../../shared/platform/credentials.ts'
import { HttpClient } from '../../../../shared/platform/http-client.ts'
import { runInLimitedChild } from '../../../../shared/platform/processes/limited-child.ts'
import { BELOW_SERVING } from '../../../../shared/platform/processes/priority.ts'
import { type State, structureId } from '../../../../shared/platform/redis/state.ts'
import type { OpenRange } from '../../ranges/range-store.ts'
import type { Engine } from '../../serving/engine.ts'
import { type SampleSource, withModelSamples } from '../samples/fetch-samples.ts'
import { storeResult } from '../../../../shared/platform/redis/store-result.ts'
import type { Calibrated, CalibrateInput } from './run-calibration-job.ts'

export interface CalibrationDeps extends Pick<Engine, 'store'>, Pick<Resource, 'options'>, SampleSource {
  state: State
  log: Logger
}

/** Time limit of a calibration. */
const TIMEOUT_MS = 4 * 3600 * 1000
/** Of a description of samples, which holds a number for each label. */
const MAX_ABOUT_BYTES = 16 * 1024 ** 2
/** ms of silence after which fetching samples from the benchmark service is given up. */
const SAMPLES_TIMEOUT_MS = 300_000
/** Shortest interval between progress reports: each is a write to Redis. */
const REPORT_MS = 500

/**
 * Runs the calibration. Its record in Redis is completed, failed or cancelled afterwards, in any case.
 * @param id of the calibration.
 * @param signals `signal` ends the job; `stopping` alone, which is part of it, that the service is stopping.
 */
export async function workCalibration(
  deps: CalibrationDeps,
  job: Pick<Job, 'updateProgress'>,
  id: string,
  { signal, stopping }: { signal: AbortSignal; stopping: AbortSignal },
): Promise<string> {
  const { state, log } = deps
  const end = (changes: Partial<Calibration>) => {
    const store = async () => {
      const endedAt = new Date(await state.clock.read()).toISOString()
      await update(deps, id, { ...changes, endedAt })
    }
    return storeResult(`the end of calibration ${id}`, store, stopping, log)
  }
  try {
    signal.throwIfAborted()
    const record = await state.calibrations.need(id)
    log.info({ calibration: id, model: record.model }, `calibration ${id} begins`)
    const { report, settled } = relay(deps, id, job)
    const { cells, baseAccuracy } = await measure(deps, record, report, signal)
    await settled()
    await end({
      state: 'completed',
      progress: { fraction: 1, step: 'done' },
      cells,
      ...(baseAccuracy !== undefined && { baseAccuracy }),
    })
    return id
  } catch (thrown) {
    const error = coerceError(signal.aborted ? signal.reason : thrown)
    log.warn({ err: error, calibration: id }, `calibration ${id} failed: ${error.message}`)
    const cancelled = error instanceof ScissionError && error.code === 'cancelled' && !stopping.aborted
    await end({ state: cancelled ? 'cancelled' : 'failed', error: error.message })
    return id
  }
}

/** Changes the record. One that was deleted meanwhile stays deleted, and one that has ended stays ended. */
async function update({ state }: CalibrationDeps, id: string, changes: Partial<Calibration>): Promise<void> {
  await state.calibrations.update(id, (record) =>
    record && (record.state === 'waiting' || record.state === 'active') ? { ...record, ...changes } : record,
  )
}

/** Reports progress, the job's and the record's. `settled` resolves once all reports are written. */
function relay(deps: CalibrationDeps, id: string, job: Pick<Job, 'updateProgress'>) {
  let last = -Infinity
  let writing: Promise<unknown> = Promise.resolve()
  const report = (progress: BenchmarkProgress) => {
    const now = performance.now()
    if (now - last < REPORT_MS) return
    last = now
    writing = writing
      // The job's own progress shows the watchers of a waiting benchmark that this queue is alive.
      .then(() =>
        Promise.all([job.updateProgress(progress), update(deps, id, { state: 'active', progress })]),
      )
      .catch((error: unknown) => deps.log.debug({ err: coerceError(error) }, 'progress was not reported'))
  }
  return { report, settled: () => writing }
}

async function measure(
  deps: CalibrationDeps,
  record: Calibration,
  report: (progress: BenchmarkProgress) => void,
  signal: AbortSignal,
): Promise<Calibrated> {
  report({ fraction: 0, step: 'fetching the model' })
  const structure = await deps.state.structures.need(structureId(record.model, record.shapesKey))
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'scission-calibration-'))
  const ranges: OpenRange[] = []
  try {
    for (const [from, to] of piecesOf(record, structure)) {
      const key = { model: record.model, shapesKey: record.shapesKey, from, to }
      ranges.push(await deps.store.open(key, signal))
    }
    const given = await fetchSamples(deps, record.id, path.join(folder, 'samples'), signal)
    const model = await deps.state.models.need(record.model)
    return await withModelSamples(deps, model, signal, (modelSamples) =>
      runInLimitedChild<CalibrateInput, Calibrated, BenchmarkProgress>({
        module: new URL('./run-calibration-job.ts', import.meta.url),
        input: { ...inputOf(deps, record, structure, ranges), ...given, modelSamples },
        timeoutMs: TIMEOUT_MS,
        memoryLimitBytes: Math.floor(memoryBytes() / 2),
        signal,
        onProgress: report,
        doing: `calibrating model ${record.model.slice(0, 12)}`,
        priority: BELOW_SERVING,
      }),
    )
  } finally {
    for (const range of ranges) range.release()
    await fs.rm(folder, { recursive: true, force: true })
  }
}

/** Layer ranges between the boundaries, without the empty one before boundary 0. */
function piecesOf({ boundaries }: Calibration, { layers }: Structure): [number, number][] {
  const edges = [...new Set([0, ...boundaries, layers.length])].sort((a, b) => a - b)
  return edges.slice(0, -1).map((from, index) => [from, edges[index + 1] ?? from])
}

function inputOf(
  { options }: CalibrationDeps,
  { boundaries, codecs }: Calibration,
  { inputs, outputs, inputHints }: Structure,
  ranges: readonly OpenRange[],
): Omit<CalibrateInput, 'samples' | 'labels'> {
  const pieces = ranges.flatMap(({ path: file, manifest }) =>
    file === null ? [] : [{ from: manifest.from, path: file }],
  )
  return { pieces, boundaries, codecs, inputs, output: outputs[0]?.name ?? '', options, inputHints }
}

async function fetchSamples(
  { benchmarkUrl, credentials }: CalibrationDeps,
  id: string,
  file: string,
  signal: AbortSignal,
): Promise<Pick<CalibrateInput, 'samples' | 'labels'>> {
  const url = `${benchmarkUrl.replace(/\/$/, '')}/v1/calibrations/${encodeURIComponent(id)}/samples`
  const client = new HttpClient({ timeoutMs: SAMPLES_TIMEOUT_MS, shown: shownTo('benchmark', credentials) })
  try {
    const about = CalibrationSamples.parse(
      await json(await get(client, `${url}/about`, signal, MAX_ABOUT_BYTES)),
    )
    const { kind, count, seed = 1, labels } = about
    if (kind === 'made-up') return { samples: { kind, count, seed }, labels }
    await pipeline(await get(client, url, signal, about.bytes), createWriteStream(file))
    const { size } = await fs.stat(file)
    if (size !== about.bytes)
      throw new ScissionError('peerUnavailable', `${url}: ${size} bytes came instead of ${about.bytes}`)
    return { samples: { kind: 'file', path: file, count }, labels }
  } finally {
    client.close()
  }
}

async function get(
  client: HttpClient,
  url: string,
  signal: AbortSignal,
  maxBytes: number,
): Promise<AsyncIterable<Buffer>> {
  const answer = await client.get(url, { signal, maxBytes })
  if (answer.status >= 200 && answer.status < 300) return answer.body
  answer.discard()
  throw new ScissionError('peerUnavailable', `the benchmark service answered ${answer.status} to GET ${url}`)
}
