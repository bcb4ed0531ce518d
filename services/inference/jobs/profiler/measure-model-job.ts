/**
 * Measures a whole model on this machine, as the job of a throw-away process: it blocks its thread
 * (shared/platform/processes/limited-child.ts).
 *
 *   1. one session of the whole model (measure-whole.ts): warm-up, profiled runs → shares, unprofiled runs → scale
 *   2. this machine's copies (copy-cost.ts) → shape of the cost of a boundary
 *   3. a few random cuts, both stages run alternately with the whole (measure-cuts.ts) → anchors for the fit, and checks
 *      beside each run of the whole one of the reference network → how the profile relates to the machine's pace
 *   4. layers, boundaries, interval and prediction error (fit-profile.ts)
 *
 * The number of cuts is limited by the time of about 20 runs of the model (cuts-in-time.ts). The scale of a session with one
 * thread is CPU time: on a busy machine wall time is wrong by 10 to 40 %, CPU time is not.
 */
import { readFileSync } from 'node:fs'
import os from 'node:os'
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { BenchmarkProgress } from '../../../../shared/contracts/profile.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { BELOW_ALL, giveWay } from '../../../../shared/platform/processes/priority.ts'
import { modelInputs } from '../../../../shared/onnx/sample-inputs/model-inputs.ts'
import { toOrt } from '../../../../shared/onnx/runtime/ort-tensor.ts'
import { fetchedSamples } from '../samples/read-fetched.ts'
import { type CopyCost, measureCopies } from './copy-cost.ts'
import { anotherCheck, cutsInTime, type CutRuns, type RunCut } from './cuts-in-time.ts'
import type { Role } from './measure-cuts.ts'
import { PacedRuns } from './paced-runs.ts'
import { CutModel } from './cut-model.ts'
import { fit, intervalOf, predictionError } from './fit-profile.ts'
import { layerSpread, layerTimes, type Placement, placeNodes } from './layer-times.ts'
import { rangeMemory } from '../../serving/models/range-memory.ts'
import { peakResidentBytes, residentBytes } from './resident-memory.ts'
import { scaleCuts } from './paired-ratios.ts'
import { watchOthers } from '../../pace/other-load.ts'
import { openReference } from '../../pace/reference-runs.ts'
import { type Feeds, Runner } from './timed-runs.ts'
import { Steps } from './measuring-steps.ts'
import { median } from '../../../../shared/platform/statistics.ts'
import { measureWhole } from './measure-whole.ts'
import type { Measurement, ProfileRequest } from './profile-model.ts'

export interface MeasureInput
  extends Pick<ProfileRequest, 'path' | 'samples' | 'runs' | 'options' | 'slowdown'> {
  /** Of the whole model, as JSON. */
  structureFile: string
  /** Measures the machine's codecs as well: once per service is enough. */
  withCodecs?: boolean
  /** Cost of copies on this machine with these options; undefined = measure it. */
  copies?: readonly CopyCost[] | undefined
  /** File of the reference network. */
  reference: string
  /** A folder for ONNX Runtime's files; the caller removes it, also if this process is lost. */
  folder: string
}

export type Measured = Omit<Measurement, 'load' | 'cost'> & {
  otherCores: number | undefined
  /** Undefined if they were given. */
  copies: readonly CopyCost[] | undefined
  /** Times of the reference network, and how long before the end. */
  reference: { agoMs: number; cpuMs: number }[]
}

/** Seed of the inputs: samples as they are, the rest made up. */
const SEED = 1
/** The job itself. */
export async function run(
  input: MeasureInput,
  report: (progress: BenchmarkProgress) => void,
): Promise<Measured> {
  // Set before the runtime starts its threads, which inherit it: if cores are short, serving has priority.
  giveWay(BELOW_ALL)
  const { options } = input
  const structure = JSON.parse(readFileSync(input.structureFile, 'utf8')) as Structure
  const startedAt = performance.now()
  const steps = new Steps(report, [
    ...(input.copies ? (['copies'] as const) : []),
    ...(input.withCodecs ? [] : (['codecs'] as const)),
  ])
  const otherCores = watchOthers()
  const inputs = modelInputs(structure, fetchedSamples(input.samples), SEED)
  const feeds: Feeds = Object.fromEntries(inputs.map((tensor) => [tensor.name, toOrt(tensor)]))
  const runner = new Runner(options.threads)
  const model = await CutModel.open(input.path, structure)
  const paced = new PacedRuns(await openReference(options.threads, input.reference))
  const beside = (wholeMs: number) => paced.sample(wholeMs)
  const baseBytes = residentBytes()
  const whole = await measureWhole({ ...input, model, feeds, beside }, runner, steps)
  const memory = {
    ...rangeMemory(structure, 0, structure.layers.length),
    baseBytes,
    peakBytes: Math.max(0, peakResidentBytes() - baseBytes),
    residentBytes: Math.max(0, residentBytes() - baseBytes),
  }
  const peakRssBytes = peakResidentBytes()
  const copies = input.copies ?? (await measureCopies(runner, options, steps))
  const made = { model, feeds, runner, whole, steps, startedAt, otherCores, copies, paced }
  const figures = await fitted({ ...input, ...made })
  // The session is not released: the process ends.
  // Loading the codecs takes longer than measuring many models: only if they are measured.
  const codecs = input.withCodecs ? (await import('./codec-speed.ts')).measureCodecs(steps) : undefined
  steps.finish()
  const { coldFactor } = whole
  return {
    ...figures,
    ...(codecs && { codecs }),
    ...(coldFactor !== undefined && {
      regime: { name: 'one-at-a-time', pauseMs: runner.pauseMs, coldFactor },
    }),
    sessionCreateMs: whole.createMs,
    peakRssBytes,
    memory,
    measuredAt: new Date().toISOString(),
    otherCores: otherCores(),
    copies: input.copies ? undefined : copies,
    reference: paced.times(),
  }
}

interface Run extends CutRuns {
  /** Cores that other processes kept busy since the start; undefined if the system does not count them. */
  otherCores: () => number | undefined
  copies: readonly CopyCost[]
}

/** Runs the cuts, and combines all to the figures of the profile. */
async function fitted(run: Run) {
  const { model, whole, options } = run
  const placement = placeNodes(model.structure.layers, whole.nodes)
  const cuts = await cutsInTime(run, layerTimes(placement, whole.times, 1).layerMs)
  let made = combined(run, placement, cuts)
  if (made.error?.ok === false) {
    cuts.push(...(await anotherCheck(run, cuts)))
    made = combined(run, placement, cuts)
  }
  const { bursts, fit: fit_, anchors, error, unmappedShare } = made
  const wholeMs = median(bursts.flat())
  const wallMs = median(whole.samples.map((time) => time.wallMs))
  return {
    method: describe(options, wallMs, bursts.flat().length, cuts.length, unmappedShare),
    whole: {
      medianMs: wholeMs,
      samplesMs: whole.samples.map((time) => time.wallMs),
      cpuMs: median(whole.samples.map((time) => time.cpuMs)),
    },
    ...fit_,
    layers: layerSpread(fit_.layerMs, placement, whole.times),
    interval: intervalOf(bursts, error, Math.min(1, (run.otherCores() ?? 0) / os.availableParallelism())),
    ...(error && { predictionError: error }),
    pace: run.paced.pace(wholeMs, options.threads),
    anchors: anchors.map(({ k, prefixMs, suffixMs }) => ({ k, ms: prefixMs + suffixMs, prefixMs })),
  }
}

/** The fit to the cuts that are anchors, and its errors at those that are checks. */
function combined({ model, runner, whole, copies }: Run, placement: Placement, cuts: readonly RunCut[]) {
  const bursts = [whole.samples.map((time) => runner.figure(time)), ...cuts.map((cut) => cut.wholesMs)]
  // The median of all runs, disturbed ones included: later requests run on the same machine.
  const wholeMs = median(bursts.flat())
  const scaled = new Map(scaleCuts(cuts, wholeMs).map((cut) => [cut.k, cut]))
  const inRole = (role: Role) =>
    cuts.filter((cut) => cut.role === role).flatMap(({ k }) => scaled.get(k) ?? [])
  const { layerMs, unmappedShare } = layerTimes(placement, whole.times, wholeMs)
  const anchors = inRole('anchor')
  const fit_ = fit({ boundaries: model.structure.boundaries, layerMs, copies, anchors })
  const checks = inRole('check')
  const error = checks.length > 0 ? predictionError(fit_, checks) : undefined
  return { bursts, fit: fit_, anchors, error, unmappedShare }
}

function describe(
  { threads }: RuntimeOptions,
  wallMs: number,
  runs: number,
  cuts: number,
  unmappedShare: number,
): string {
  const scale = threads > 1 ? 'wall time' : `CPU time (wall ${wallMs.toFixed(2)} ms)`
  const unmapped =
    unmappedShare > 0
      ? `; ${(100 * unmappedShare).toFixed(1)} % of the profiled time fits no layer and is spread over all`
      : ''
  return (
    `median ${scale} of ${runs} runs, one at a time, split by the profiler's shares; ` +
    `${cuts} cuts run to fit and to check${unmapped}`
  )
}
