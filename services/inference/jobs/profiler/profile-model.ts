/**
 * A model's cost on this machine, measured in a process of its own: measuring does not disturb serving more than it
 * must, and a model that takes its process down takes down only that. What else was running is part of the result.
 */
import fs from 'node:fs/promises'
import os from 'node:os'
import pathOf from 'node:path'
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { BenchmarkProgress, Profile } from '../../../../shared/contracts/profile.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { runInLimitedChild } from '../../../../shared/platform/processes/limited-child.ts'
import type { CopyCost } from './copy-cost.ts'
import type { Measured, MeasureInput } from './measure-model-job.ts'

export interface ProfileRequest {
  /** The whole model, range 0..N, as RangeStore.open gave it. */
  path: string
  structure: Structure
  /** Unprofiled runs that set the scale, and as many profiled ones. Default: what the budget allows (measure.ts). */
  runs?: number | undefined
  options: RuntimeOptions
  /** Of the machine that this one emulates: its runs pause as that one's do. @defaultValue 1 */
  slowdown?: number
  /** @defaultValue 600000 */
  timeoutMs?: number
  /** @defaultValue half of the machine's memory */
  memoryLimitBytes?: number
  /** Counter of the requests this service has answered; its growth during the measurement is recorded. */
  requestsServed?: () => number
}

/** The measured part of a Profile; the caller adds what identifies it. */
export type Measurement = Omit<Measured, 'otherCores' | 'copies'> & Pick<Profile, 'load' | 'cost'>

const TIMEOUT_MS = 600_000

/** Of this machine, whatever the model: measured with the first profile of this process. */
let codecs: Measurement['codecs']
/** By runtime options, and until when: a fit takes only their shape, which changes less than the machine's speed. */
const copies = new Map<string, { costs: readonly CopyCost[]; untilMs: number }>()
const COPIES_KEPT_MS = 3_600_000

function knownCopies(options: RuntimeOptions): readonly CopyCost[] | undefined {
  const known = copies.get(JSON.stringify(options))
  return known && performance.now() < known.untilMs ? known.costs : undefined
}

/**
 * Measures a whole model and splits its time over its layers; see measure.ts for how.
 * @param signal aborting ends the measurement and its process.
 * @throws ScissionError invalidModel when the model does not load or run, or takes too long or too much memory;
 *   invalidTensor when no inputs can be made up for it; cancelled.
 */
export async function profileModel(
  request: ProfileRequest,
  onProgress: (progress: BenchmarkProgress) => void = () => {},
  signal?: AbortSignal,
): Promise<Measurement> {
  const { path, structure, runs, options, slowdown, requestsServed = () => 0 } = request
  const servedBefore = requestsServed()
  const startedAt = performance.now()
  // Before the measurement: afterwards the figure would count the measurement itself.
  const [loadAverage1 = 0] = os.loadavg()
  const folder = await fs.mkdtemp(pathOf.join(os.tmpdir(), 'scission-profile-'))
  try {
    const measured: Measured = await runInLimitedChild<MeasureInput, Measured, BenchmarkProgress>({
      module: new URL('./measure-model-job.ts', import.meta.url),
      input: {
        path,
        structure,
        runs,
        options,
        slowdown,
        folder,
        withCodecs: codecs === undefined,
        copies: knownCopies(options),
      },
      timeoutMs: request.timeoutMs ?? TIMEOUT_MS,
      memoryLimitBytes: request.memoryLimitBytes ?? Math.floor(os.totalmem() / 2),
      signal,
      onProgress,
      doing: `measuring model ${structure.model.slice(0, 12)}`,
    })
    const { otherCores, copies: costs, ...figures } = measured
    codecs = measured.codecs ?? codecs
    if (costs) copies.set(JSON.stringify(options), { costs, untilMs: performance.now() + COPIES_KEPT_MS })
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
