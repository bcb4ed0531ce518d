/**
 * Profiles a model on this machine in a child process: measuring disturbs serving as little as possible, and a model that
 * crashes its process ends only the child. Other load during the measurement is part of the result.
 */
import { memoryBytes } from '../../../../shared/platform/usable-memory.ts'
import fs from 'node:fs/promises'
import os from 'node:os'
import pathOf from 'node:path'
import { LRUCache } from 'lru-cache'
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { BenchmarkProgress, Profile } from '../../../../shared/contracts/profile.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { jsonInTurns } from '../../../../shared/platform/json-in-turns.ts'
import { runInLimitedChild } from '../../../../shared/platform/processes/limited-child.ts'
import { BELOW_SERVING } from '../../../../shared/platform/processes/priority.ts'
import type { FetchedSamples } from '../samples/fetch-samples.ts'
import type { CopyCost } from './copy-cost.ts'
import type { Measured, MeasureInput } from './measure-model-job.ts'

export interface ProfileRequest {
  /** The whole model, range 0..N, as RangeStore.open gave it. */
  path: string
  structure: Structure
  /** The model's samples on this disk; undefined if all inputs are made up. */
  samples?: FetchedSamples | undefined
  /** Number of unprofiled runs that set the scale, and of profiled ones. Default: as many as the budget allows. */
  runs?: number | undefined
  options: RuntimeOptions
  /** Slowdown of the machine that this one emulates: runs pause accordingly. @defaultValue 1 */
  slowdown?: number
  /** @defaultValue 600000 */
  timeoutMs?: number
  /** @defaultValue half of the machine's memory */
  memoryLimitBytes?: number
  /** Counter of the requests this service has answered; its growth during the measurement is recorded. */
  requestsServed?: () => number
  /** File of the reference network. @defaultValue it is made for this profile */
  reference?: string
  /** Is given the runs of the reference network that were made beside the model's: samples of this machine's pace. */
  onReference?: (samples: Measured['reference']) => void
}

/** The measured part of a Profile; the caller adds what identifies it. */
export type Measurement = Omit<
  Profile,
  | 'id'
  | 'model'
  | 'shapesKey'
  | 'resource'
  | 'options'
  | 'machine'
  | 'slowdown'
  | 'emulated'
  | 'source'
  | 'samples'
>

const TIMEOUT_MS = 600_000

/** Codec speeds do not depend on the model: measured with the first profile of this process. */
let codecs: Measurement['codecs']
/** Costs of copies by runtime options. A fit uses only their shape, which changes less than the machine's speed. */
const copies = new LRUCache<string, readonly CopyCost[]>({ max: 100, ttl: 3_600_000 })

/**
 * Measures a whole model and divides its time among its layers (measure-model-job.ts).
 * @param signal aborting ends the measurement and its process.
 * @throws ScissionError invalidModel if the model does not load or run, or takes too long or too much memory;
 *   invalidTensor if no inputs can be made up for it; cancelled.
 */
export async function profileModel(
  request: ProfileRequest,
  onProgress: (progress: BenchmarkProgress) => void = () => {},
  signal?: AbortSignal,
): Promise<Measurement> {
  const { path, structure, samples, runs, options, slowdown, requestsServed = () => 0 } = request
  const servedBefore = requestsServed()
  const startedAt = performance.now()
  // Read before the measurement, which would count itself.
  const [loadAverage1 = 0] = os.loadavg()
  const folder = await fs.mkdtemp(pathOf.join(os.tmpdir(), 'scission-profile-'))
  try {
    onProgress({ fraction: 0, step: 'starting a process' })
    // By a file: in a message, the structure of 100,000 layers would hold up all requests for a second.
    const structureFile = pathOf.join(folder, 'structure.json')
    await fs.writeFile(structureFile, await jsonInTurns(structure))
    const measured: Measured = await runInLimitedChild<MeasureInput, Measured, BenchmarkProgress>({
      module: new URL('./measure-model-job.ts', import.meta.url),
      input: {
        path,
        structureFile,
        samples,
        runs,
        options,
        slowdown,
        folder,
        reference: request.reference ?? pathOf.join(folder, 'reference.onnx'),
        withCodecs: codecs === undefined,
        copies: copies.get(JSON.stringify(options)),
      },
      timeoutMs: request.timeoutMs ?? TIMEOUT_MS,
      memoryLimitBytes: request.memoryLimitBytes ?? Math.floor(memoryBytes() / 2),
      signal,
      onProgress,
      doing: `measuring model ${structure.model.slice(0, 12)}`,
      // Until it measures, when it gives way to everything.
      priority: BELOW_SERVING,
    })
    const { otherCores, copies: costs, reference, ...figures } = measured
    request.onReference?.(reference)
    codecs = measured.codecs ?? codecs
    if (costs) copies.set(JSON.stringify(options), costs)
    const totalMs = performance.now() - startedAt
    return {
      ...figures,
      ...(codecs && { codecs }),
      cost: { totalMs, inferences: totalMs / Math.max(figures.whole.medianMs, Number.EPSILON) },
      load: {
        loadAverage1,
        requestsServed: requestsServed() - servedBefore,
        ...(otherCores !== undefined && { otherCores }),
      },
    }
  } finally {
    await fs.rm(folder, { recursive: true, force: true })
  }
}
