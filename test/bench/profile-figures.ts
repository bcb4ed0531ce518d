/** The figures of the profile benchmark, from what was measured. Pure. */
import { median, sum } from '../../shared/platform/statistics.ts'
import { nearestRank } from '../support/nearest-rank.ts'
import type { Measurement } from '../../services/inference/jobs/profiler/profile-model.ts'
import { type Figure, figure } from './bench.ts'
import type { Blocks } from './profile-blocks-job.ts'
import type { Drift, Scored } from './profile-score.ts'

export type Summary = Pick<
  Measurement,
  'cost' | 'load' | 'interval' | 'predictionError' | 'regime' | 'method'
> & { wholeMs: number }

export interface Phase {
  /** In the order in which they were taken. */
  profiles: Summary[]
  /** CPU cores that other processes kept busy in each round. */
  foreignCores: number[]
  drift: Drift
  /** Profiles left out because the machine changed its speed around them. */
  unsteady: number
  cuts: Scored[]
}

export interface ModelResult {
  name: string
  zoo: boolean
  wholeMs: number
  blocks: Blocks
  /** Starting a process for a measurement; of models recorded earlier it may be missing. */
  startMs?: number | undefined
  quiet: Phase
  busy: Phase | undefined
}

const PERCENT = 100
/** From here on a profile may cost at most 40 runs. */
const LARGE_MS = 10

/**
 * The errors are of profiles against the rounds next to them (profile-rounds.ts): the method's, and what the machine
 * drifts within seconds. At the machine's pace of the moment they are the method's alone.
 * The errors of a single profile against all rounds stand beside them, as a user sees them on a machine that drifts.
 */
export function figuresOf(results: readonly ModelResult[]): Figure[] {
  const quiet = results.flatMap((result) => result.quiet.cuts)
  const busy = results.flatMap((result) => result.busy?.cuts ?? [])
  const drifts = results.map((result) => result.quiet.drift)
  return [
    figure('models', results.length, 'models', 'higher', null),
    figure('cuts', quiet.length, 'cuts', 'higher', null),
    ...quietErrors(quiet),
    figure(
      'drift of the machine over a model, median',
      PERCENT * median(drifts.map(({ range }) => range)),
      '%',
      'lower',
      null,
    ),
    figure('drift, largest', PERCENT * Math.max(...drifts.map(({ range }) => range)), '%', 'lower', null),
    figure(
      'profiles left out because the machine changed its speed around them',
      sum(results.flatMap(({ quiet: { unsteady }, busy }) => [unsteady, busy?.unsteady ?? 0])),
      '',
      'lower',
      null,
    ),
    ...coverage('interval holds the value next to it', quiet),
    ...(busy.length > 0 ? busyErrors(busy) : []),
    ...costs(results),
  ]
}

function quietErrors(cuts: readonly Scored[]): Figure[] {
  const errors = percents(cuts.map(({ error }) => error))
  const naive = percents(cuts.map((cut) => Math.abs(cut.naive.error)))
  const blocks = percents(cuts.map(({ blocksError = 0 }) => blocksError))
  const stages = percents(cuts.map(({ stagesError }) => stagesError))
  const splits = percents(cuts.map(({ splitBias }) => Math.abs(splitBias)))
  const paced = percents(cuts.map(({ pacedError }) => Math.abs(pacedError)))
  const against = (q: number) => ({ name: 'block by block', value: nearestRank(blocks, q) })
  const ratio = nearestRank(blocks, 0.5) / Math.max(nearestRank(naive, 0.5), 0.01)
  return [
    figure('error, median', nearestRank(errors, 0.5), '%', 'lower', 3),
    figure('error, 95th percentile', nearestRank(errors, 0.95), '%', 'lower', 8),
    figure('error, largest', Math.max(...errors), '%', 'lower', 15),
    figure('error at the machine’s pace of the moment, median', nearestRank(paced, 0.5), '%', 'lower', 3),
    figure('the same, 95th percentile', nearestRank(paced, 0.95), '%', 'lower', 8),
    figure('the same, largest', Math.max(...paced), '%', 'lower', 15),
    figure('error of the stages alone, median', nearestRank(stages, 0.5), '%', 'lower', null),
    figure('error of split over whole, CPU time, median', nearestRank(splits, 0.5), '%', 'lower', null),
    figure(
      'single profile, all rounds: error, median',
      nearestRank(naive, 0.5),
      '%',
      'lower',
      null,
      against(0.5),
    ),
    figure('single profile: 95th percentile', nearestRank(naive, 0.95), '%', 'lower', null, against(0.95)),
    figure('single profile: largest', Math.max(...naive), '%', 'lower', null, against(1)),
    figure('single profile: less error than block by block', ratio, 'x', 'higher', 3),
  ]
}

function busyErrors(cuts: readonly Scored[]): Figure[] {
  const errors = percents(cuts.map(({ error }) => error))
  const paced = percents(cuts.map(({ pacedError }) => Math.abs(pacedError)))
  return [
    figure('one core busy: error, median', nearestRank(errors, 0.5), '%', 'lower', 6),
    figure(
      'one core busy: error at the pace of the moment, median',
      nearestRank(paced, 0.5),
      '%',
      'lower',
      6,
    ),
    figure('one core busy: error, 95th percentile', nearestRank(errors, 0.95), '%', 'lower', null),
    ...coverage('one core busy: interval holds', cuts),
  ]
}

/** The facts about a model from which the cost of its profiles follows. */
export type Costed = Pick<ModelResult, 'name' | 'zoo' | 'wholeMs' | 'blocks' | 'startMs'> & {
  quiet: { profiles: Pick<Summary, 'cost'>[] }
}

export function costs(results: readonly Costed[]): Figure[] {
  const zoo = results.filter((result) => result.zoo)
  const runs = results.flatMap(({ wholeMs, quiet: { profiles } }) =>
    wholeMs >= LARGE_MS ? profiles.map(({ cost }) => cost?.inferences ?? 0) : [],
  )
  const blocks = sum(zoo.map((result) => result.blocks.tookMs + (result.startMs ?? 0))) / 1000
  // The median for each model: the time of one profile, not of all that were taken to compare.
  const own = zoo.map(({ quiet }) => median(quiet.profiles.map(({ cost }) => cost?.totalMs ?? 0)))
  return [
    ...(runs.length > 0
      ? [figure('cost of models ≥ 10 ms, largest', Math.max(...runs), 'runs', 'lower', 40)]
      : []),
    figure('profiles of the zoo together', sum(own) / 1000, 's', 'lower', blocks, {
      name: 'block by block',
      value: blocks,
    }),
  ]
}

const percents = (fractions: readonly number[]) => fractions.map((fraction) => PERCENT * fraction)

/** Over all cuts and all profiles. */
function coverage(name: string, cuts: readonly Scored[]): Figure[] {
  const share = (PERCENT * sum(cuts.map(({ held }) => held))) / Math.max(1, cuts.length)
  return [
    figure(`${name}, at least`, share, '%', 'higher', 90),
    figure(`${name}, at most`, share, '%', 'lower', 99),
  ]
}
