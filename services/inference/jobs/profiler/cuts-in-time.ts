/** Which cuts of a model there is time to run, and their runs. */
import { undisturbed } from '../../../../shared/platform/statistics.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import type { CutModel } from './cut-model.ts'
import {
  candidates,
  chooseCuts,
  type ChosenCut,
  farthest,
  MAX_CUTS,
  measurePair,
  type PairTimes,
  type Role,
} from './measure-cuts.ts'
import { runsIn, type Whole } from './measure-whole.ts'
import type { Steps } from './measuring-steps.ts'
import type { PacedRuns } from './paced-runs.ts'
import { type Feeds, pauseOf, type Runner } from './timed-runs.ts'

/**
 * Time limit of a measurement without the start of the process. A run of up to 50 ms gives the time of 26 runs (40 with
 * the start of the process), a longer one that of 18 runs and a constant; small models have a fixed time.
 */
function budgetMs(runMs: number): number {
  if (runMs < SMALL_MS) return SMALL_BUDGET_MS
  return LARGE_BUDGET_RUNS * runMs + Math.min(MORE_RUNS * runMs, MORE_MS)
}
/** Well below 10 ms, from which on a profile may take 40 runs: the figure compared here is lower than the later median. */
const SMALL_MS = 8.6
const SMALL_BUDGET_MS = 1500
const LARGE_BUDGET_RUNS = 18
const MORE_RUNS = 8
const MORE_MS = 400
/** Time for the rounds of one cut; each round also runs the whole model, which counts for the scale. */
const PAIR_MS = 36

export interface CutRuns {
  model: CutModel
  feeds: Feeds
  runner: Runner
  whole: Whole
  steps: Steps
  /** performance.now() at the start. */
  startedAt: number
  paced: PacedRuns
  options: RuntimeOptions
  /** Unprofiled runs that were asked for. */
  runs?: number | undefined
}

export type RunCut = PairTimes & { role: Role }

/** Runs as many cuts as there is time for, at least one if the model has any. @param shares ms of the layers. */
export function cutsInTime(run: CutRuns, shares: readonly number[]): Promise<RunCut[]> {
  const { model, runner, whole, runs, startedAt } = run
  const { structure } = model
  const possible = candidates(structure)
  const runMs = runMsOf(run)
  const turnMs = runMs + runner.pauseMs
  const pairMs = whole.createMs + (1 + 2 * roundsOf(run)) * turnMs
  // A slower emulated machine has longer pauses, and its inferences are longer as well.
  const leftMs = budgetMs(runMs) * (turnMs / (runMs + pauseOf(runMs))) - (performance.now() - startedAt)
  const affordable = runs === undefined ? Math.max(1, Math.floor(leftMs / pairMs)) : MAX_CUTS
  const count = Math.min(MAX_CUTS, affordable, possible.length)
  return runAll(run, chooseCuts(possible, shares, count, structure.model + structure.shapesKey))
}

/**
 * A check alone that was predicted badly may be one of a kind: then another, far from it, is run, whatever time is left.
 * @returns none if there were several, or the model has no other cut.
 */
export async function anotherCheck(run: CutRuns, cuts: readonly RunCut[]): Promise<RunCut[]> {
  const [only, ...more] = cuts.filter(({ role }) => role === 'check')
  if (!only || more.length > 0) return []
  const anchors = new Set(cuts.flatMap(({ k, role }) => (role === 'anchor' ? [k] : [])))
  const free = candidates(run.model.structure).filter((k) => !anchors.has(k))
  const other = farthest(free, only.k)
  return other === undefined ? [] : await runAll(run, [{ k: other, role: 'check' }])
}

async function runAll(run: CutRuns, chosen: readonly ChosenCut[]): Promise<RunCut[]> {
  const { model, feeds, runner, whole, steps, options, paced } = run
  const pair = { model, feeds, runner, options, whole: whole.session }
  const cuts: RunCut[] = []
  const rounds = roundsOf(run)
  const beside = (wholeMs: number) => {
    steps.tick()
    return paced.sample(wholeMs)
  }
  // The whole is run before each round, and after the last.
  steps.begin('check', chosen.length * (rounds + 1))
  for (const { k, role } of chosen) cuts.push({ role, ...(await measurePair(pair, k, rounds, beside)) })
  return cuts
}

const runMsOf = ({ whole, runner }: CutRuns): number =>
  undisturbed(whole.samples.map((time) => runner.figure(time)))

const roundsOf = (run: CutRuns): number => Math.min(10, run.runs ?? runsIn(PAIR_MS, runMsOf(run)))
