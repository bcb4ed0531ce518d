/**
 * A calibration as a job of this resource's queue: fetch the samples and the layers between the boundaries, run them
 * with every codec in a child process, store what was seen. The record in Redis says how far it is.
 */
import { createWriteStream } from 'node:fs'
import fs from 'node:fs/promises'
import os from 'node:os'
import path from 'node:path'
import { json } from 'node:stream/consumers'
import { pipeline } from 'node:stream/promises'
import type { Job } from 'bullmq'
import {
  type Calibration,
  CalibrationJobData,
  CalibrationSamples,
} from '../../../../shared/contracts/codec.ts'
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { BenchmarkProgress } from '../../../../shared/contracts/progress.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import { HttpClient } from '../../../../shared/platform/http-client.ts'
import { runInLimitedChild } from '../../../../shared/platform/processes/limited-child.ts'
import type { Logger } from '../../../../shared/platform/log.ts'
import { type State, structureId } from '../../../../shared/platform/redis/state.ts'
import { stopSignal } from '../stop-signal.ts'
import type { OpenRange, RangeStore } from '../../ranges/range-store.ts'
import type { Calibrated, CalibrateInput } from './calibrate.ts'

export interface CalibrationWorkParts {
  resource: string
  state: State
  store: Pick<RangeStore, 'open'>
  options: RuntimeOptions
  benchmarkUrl: string
  log: Logger
}

/** Longer than any calibration anyone waits for. */
const TIMEOUT_MS = 4 * 3600 * 1000
/** Silence of the benchmark service while samples are fetched. */
const SAMPLES_TIMEOUT_MS = 300_000
/** At most this often: each report is a write to Redis. */
const REPORT_MS = 500

/** Ends as a record in Redis, whatever happens: completed, failed or cancelled. */
export async function workCalibration(
  parts: CalibrationWorkParts,
  job: Job,
  stopping: AbortSignal,
): Promise<string> {
  const { state, log, resource } = parts
  const { calibration: id } = CalibrationJobData.parse(job.data)
  const stop = await stopSignal(state.redis, id, resource)
  const signal = AbortSignal.any([stopping, stop.signal])
  try {
    signal.throwIfAborted()
    const record = await state.calibrations.need(id)
    log.info({ calibration: id, model: record.model }, `calibration ${id} begins`)
    const report = relay(parts, record, job)
    const { cells, baseAccuracy } = await measure(parts, record, report, signal)
    await report.settled()
    await update(parts, id, {
      state: 'completed',
      progress: { fraction: 1, step: 'done' },
      cells,
      ...(baseAccuracy !== undefined && { baseAccuracy }),
      endedAt: new Date().toISOString(),
    })
    return id
  } catch (thrown) {
    const error = coerceError(signal.aborted ? signal.reason : thrown)
    log.warn({ err: error, calibration: id }, `calibration ${id} failed: ${error.message}`)
    const cancelled = error instanceof ScissionError && error.code === 'cancelled' && !stopping.aborted
    await update(parts, id, {
      state: cancelled ? 'cancelled' : 'failed',
      error: error.message,
      endedAt: new Date().toISOString(),
    })
    return id
  } finally {
    stop.release()
  }
}

/** One that was deleted meanwhile stays deleted. */
async function update(
  { state }: CalibrationWorkParts,
  id: string,
  changes: Partial<Calibration>,
): Promise<void> {
  const record = await state.calibrations.get(id)
  if (record) await state.calibrations.put(id, { ...record, ...changes })
}

interface Relay {
  (progress: BenchmarkProgress): void
  /** Once nothing that was reported is still to be written. */
  settled: () => Promise<void>
}

function relay(parts: CalibrationWorkParts, { id }: Calibration, job: Job): Relay {
  let last = 0
  let writing: Promise<unknown> = Promise.resolve()
  const report = (progress: BenchmarkProgress) => {
    const now = Date.now()
    if (now - last < REPORT_MS) return
    last = now
    writing = writing
      // The job's own progress is the sign of life that a benchmark which waits behind it is watched by.
      .then(() =>
        Promise.all([job.updateProgress(progress), update(parts, id, { state: 'active', progress })]),
      )
      .catch((error: unknown) => parts.log.debug({ err: coerceError(error) }, 'progress was not reported'))
  }
  return Object.assign(report, {
    settled: async () => {
      await writing
    },
  })
}

async function measure(
  parts: CalibrationWorkParts,
  record: Calibration,
  report: (progress: BenchmarkProgress) => void,
  signal: AbortSignal,
): Promise<Calibrated> {
  report({ fraction: 0, step: 'fetching the model' })
  const structure = await parts.state.structures.need(structureId(record.model, record.shapesKey))
  const folder = await fs.mkdtemp(path.join(os.tmpdir(), 'scission-calibration-'))
  const ranges: OpenRange[] = []
  try {
    for (const [from, to] of piecesOf(record, structure)) {
      const key = { model: record.model, shapesKey: record.shapesKey, from, to }
      ranges.push(await parts.store.open(key, signal))
    }
    const given = await fetchSamples(parts, record.id, path.join(folder, 'samples'), signal)
    return await runInLimitedChild<CalibrateInput, Calibrated, BenchmarkProgress>({
      module: new URL('./calibrate-job.ts', import.meta.url),
      input: { ...inputOf(parts, record, structure, ranges), ...given },
      timeoutMs: TIMEOUT_MS,
      memoryLimitBytes: Math.floor(os.totalmem() / 2),
      signal,
      onProgress: report,
      doing: `calibrating model ${record.model.slice(0, 12)}`,
    })
  } finally {
    for (const range of ranges) range.release()
    await fs.rm(folder, { recursive: true, force: true })
  }
}

/** Layer ranges between the boundaries, the empty one before boundary 0 left out. */
function piecesOf({ boundaries }: Calibration, { layers }: Structure): [number, number][] {
  const edges = [...new Set([0, ...boundaries, layers.length])].sort((a, b) => a - b)
  return edges.slice(0, -1).map((from, index) => [from, edges[index + 1] ?? from])
}

function inputOf(
  { options }: CalibrationWorkParts,
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
  { benchmarkUrl }: CalibrationWorkParts,
  id: string,
  file: string,
  signal: AbortSignal,
): Promise<Pick<CalibrateInput, 'samples' | 'labels'>> {
  const url = `${benchmarkUrl.replace(/\/$/, '')}/v1/calibrations/${encodeURIComponent(id)}/samples`
  const client = new HttpClient({ timeoutMs: SAMPLES_TIMEOUT_MS })
  try {
    const about = CalibrationSamples.parse(await json(await get(client, `${url}/about`, signal)))
    const { kind, count, seed = 1, labels } = about
    if (kind === 'made-up') return { samples: { kind, count, seed }, labels }
    await pipeline(await get(client, url, signal), createWriteStream(file))
    const { size } = await fs.stat(file)
    if (size !== about.bytes)
      throw new ScissionError('peerUnavailable', `${url}: ${size} bytes came instead of ${about.bytes}`)
    return { samples: { kind: 'file', path: file, count }, labels }
  } finally {
    client.close()
  }
}

async function get(client: HttpClient, url: string, signal: AbortSignal): Promise<AsyncIterable<Buffer>> {
  const answer = await client.get(url, { signal })
  if (answer.status >= 200 && answer.status < 300) return answer.body
  answer.discard()
  throw new ScissionError('peerUnavailable', `the benchmark service answered ${answer.status} to GET ${url}`)
}
