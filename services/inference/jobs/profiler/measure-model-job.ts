/**
 * Measures a whole model on this machine, as the job of a throw-away process: it blocks its thread
 * (shared/platform/processes/limited-child.ts).
 *
 *   1. one session of the whole model (whole.ts): warm up, profiled runs → the shares, unprofiled runs → the scale
 *   2. this machine's copies (copy-cost.ts) → the shape of what a boundary costs
 *   3. a few random cuts, both stages run in turn with the whole (pair.ts) → anchors to fit to, checks to hold against
 *   4. layers, boundaries, interval and prediction error (fit.ts)
 *
 * As many cuts as fit into the time of about 20 runs of the model (budgetMs). The scale of a
 * session with one thread is CPU time: on a busy machine wall time is off by 10 to 40 %, CPU time is not.
 */
import os from 'node:os'
import type { Structure } from '../../../../shared/contracts/model.ts'
import type { BenchmarkProgress, Profile } from '../../../../shared/contracts/profile.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { makeInputs } from '../../../../shared/onnx/sample-inputs/sample-inputs.ts'
import { toOrt } from '../../../../shared/onnx/runtime/ort-tensor.ts'
import { type CopyCost, measureCopies } from './copy-cost.ts'
import { candidates, chooseCuts, measurePair, MOST_CUTS, type Role } from './measure-cuts.ts'
import { CutModel } from './cut-model.ts'
import { fit, intervalOf, type MeasuredCut, predictionError } from './fit-profile.ts'
import { layerSpread, layerTimes, placeNodes } from './layer-times.ts'
import { peakResidentBytes, rangeMemory, residentBytes, watchOthers } from './memory-and-load.ts'
import { type Feeds, pauseOf, Runner } from './timed-runs.ts'
import { Steps } from './measuring-steps.ts'
import { median, undisturbed } from '../../../../shared/platform/statistics.ts'
import { measureWhole, runsIn, type Whole } from './measure-whole.ts'

export interface MeasureInput {
  path: string
  structure: Structure
  /** Undefined: as many as the budget allows. */
  runs: number | undefined
  options: RuntimeOptions
  /** Of the machine that is emulated. @defaultValue 1 */
  slowdown?: number | undefined
  /** Measure the machine's codecs as well: once per service is enough. */
  withCodecs?: boolean
  /** What copies cost on this machine with these options; undefined: measure it. */
  copies?: readonly CopyCost[] | undefined
  /** An empty folder for what the profiler writes; the caller removes it, also when this process is lost. */
  folder: string
}

export type Measured = Pick<
  Profile,
  | 'method'
  | 'whole'
  | 'layerMs'
  | 'layers'
  | 'enterMs'
  | 'exitMs'
  | 'interval'
  | 'predictionError'
  | 'anchors'
  | 'regime'
  | 'sessionCreateMs'
  | 'peakRssBytes'
  | 'memory'
  | 'measuredAt'
  | 'codecs'
> & {
  otherCores: number | undefined
  /** Where they were measured. */
  copies: readonly CopyCost[] | undefined
}

/** Seed of the made-up inputs: any, but always the same. */
const SEED = 1
/**
 * What a measurement may take beyond starting the process. Up to 50 ms a model gets 26 runs' time, which is 40 with the
 * start of the process; larger ones 18 and a little; small ones are measured as long as anybody cares to wait.
 */
function budgetMs(runMs: number): number {
  if (runMs < SMALL_MS) return SMALL_BUDGET_MS
  return LARGE_BUDGET_RUNS * runMs + Math.min(MORE_RUNS * runMs, MORE_MS)
}
/** Well below the 10 ms from which on a profile may take 40 runs: what is taken here reads lower than the median later. */
const SMALL_MS = 8.6
const SMALL_BUDGET_MS = 1500
const LARGE_BUDGET_RUNS = 18
const MORE_RUNS = 8
const MORE_MS = 400
/** Time for the rounds of one cut; in each the whole model is run once more, which counts for the scale. */
const PAIR_MS = 36

/** The job itself. */
export function run(input: MeasureInput, report: (progress: BenchmarkProgress) => void): Promise<Measured> {
  // Set before the runtime starts its threads, which inherit it: where cores are short, serving goes first.
  os.setPriority(os.constants.priority.PRIORITY_LOW)
  return measure(input, report)
}

export async function measure(
  input: MeasureInput,
  onProgress: (progress: BenchmarkProgress) => void,
): Promise<Measured> {
  const { structure, options } = input
  const startedAt = performance.now()
  const steps = new Steps(onProgress)
  const otherCores = watchOthers()
  const inputs = makeInputs(structure.inputs, SEED, structure.inputHints)
  const feeds: Feeds = Object.fromEntries(inputs.map((tensor) => [tensor.name, toOrt(tensor)]))
  const runner = new Runner(options.threads)
  const model = await CutModel.open(input.path, structure)
  const baseBytes = residentBytes()
  const whole = await measureWhole({ ...input, model, feeds }, runner, steps)
  const memory = {
    ...rangeMemory(structure, 0, structure.layers.length),
    baseBytes,
    peakBytes: Math.max(0, peakResidentBytes() - baseBytes),
    residentBytes: Math.max(0, residentBytes() - baseBytes),
  }
  const peakRssBytes = peakResidentBytes()
  const copies = input.copies ?? (await measureCopies(runner, options))
  const run = { model, feeds, runner, whole, steps, runs: input.runs, options, startedAt, otherCores, copies }
  const figures = await fitted(run)
  // The session is not released: the process ends, and what it holds goes with it.
  // Loaded only when wanted: the codecs take longer to load than many a model to measure.
  const codecs = input.withCodecs ? (await import('./codec-speed.ts')).measureCodecs() : undefined
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
  }
}

interface Run {
  model: CutModel
  feeds: Feeds
  runner: Runner
  whole: Whole
  steps: Steps
  runs: number | undefined
  options: RuntimeOptions
  /** performance.now() at the start. */
  startedAt: number
  /** What other processes kept busy since the start; undefined where nobody counts. */
  otherCores: () => number | undefined
  copies: readonly CopyCost[]
}

/** Everything that the runs, the profiler and the cuts say together. */
async function fitted(run: Run) {
  const { model, runner, whole, options, copies } = run
  const { layers, boundaries } = model.structure
  const placement = placeNodes(layers, whole.nodes)
  const cuts = await measureCuts(run, layerTimes(placement, whole.times, 1).layerMs)
  const bursts = [whole.samples.map((time) => runner.figure(time)), ...cuts.map((cut) => cut.wholesMs)]
  const figuresMs = bursts.flat()
  // Of all runs, disturbed ones too: who asks later meets the same machine.
  const wholeMs = median(figuresMs)
  // Each cut was run in turn with the whole model: what it took beside that is what counts, whatever slowed both down.
  const scaled = (role: Role): MeasuredCut[] =>
    cuts
      .filter((cut) => cut.role === role)
      .map(({ k, prefixMs, suffixMs, wholeMs: beside }) => ({
        k,
        prefixMs: (prefixMs * wholeMs) / beside,
        suffixMs: (suffixMs * wholeMs) / beside,
      }))
  const { layerMs, unmappedShare } = layerTimes(placement, whole.times, wholeMs)
  const anchors = scaled('anchor')
  const fit_ = fit({ boundaries, layerMs, copies, anchors })
  const checks = scaled('check')
  const error = checks.length > 0 ? predictionError(fit_, checks) : undefined
  const wallMs = median(whole.samples.map((time) => time.wallMs))
  return {
    method: describe(options, wallMs, figuresMs.length, cuts.length, unmappedShare),
    whole: {
      medianMs: wholeMs,
      samplesMs: whole.samples.map((time) => time.wallMs),
      cpuMs: median(whole.samples.map((time) => time.cpuMs)),
    },
    ...fit_,
    layers: layerSpread(fit_.layerMs, placement, whole.times),
    interval: intervalOf(bursts, error, Math.min(1, (run.otherCores() ?? 0) / os.availableParallelism())),
    ...(error && { predictionError: error }),
    anchors: anchors.map(({ k, prefixMs, suffixMs }) => ({ k, ms: prefixMs + suffixMs, prefixMs })),
  }
}

async function measureCuts(run: Run, shares: number[]) {
  const { model, feeds, runner, whole, steps, runs, options, startedAt } = run
  const possible = candidates(model.structure)
  const runMs = undisturbed(whole.samples.map((time) => runner.figure(time)))
  const rounds = Math.min(10, runs ?? runsIn(PAIR_MS, runMs))
  const turnMs = runMs + runner.pauseMs
  const pairMs = whole.createMs + (1 + 2 * rounds) * turnMs
  // Longer pauses are those of a slower machine, whose inferences are longer as well.
  const leftMs = budgetMs(runMs) * (turnMs / (runMs + pauseOf(runMs))) - (performance.now() - startedAt)
  const affordable = runs === undefined ? Math.max(1, Math.floor(leftMs / pairMs)) : MOST_CUTS
  const count = Math.min(MOST_CUTS, affordable, possible.length)
  const chosen = chooseCuts(possible, shares, count, model.structure.model + model.structure.shapesKey)
  steps.begin('check', chosen.length)
  const cuts = []
  for (const { k, role } of chosen) {
    cuts.push({ role, ...(await measurePair(model, k, feeds, rounds, runner, options, whole.session)) })
    steps.tick()
  }
  return cuts
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
