/** From predictions and the requests that followed them to figures. Pure. */
import type { Plan } from '../../shared/contracts/plan.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import { stageMs } from '../../services/inference/jobs/served-times.ts'
import { median, quantile, sum } from '../../shared/platform/statistics.ts'
import { type Figure, figure } from './bench.ts'
import type { Asked } from './predictions-ask.ts'

export interface Case {
  k: number
  plan: Pick<Plan, 'predictedMs' | 'interval' | 'typicalInterval'>
  requests: Asked[]
}

export interface Measured {
  condition: string
  model: string
  layers: number
  profiles: Profile[]
  /** A prediction each, and what followed. */
  blocks: { cases: Case[] }[]
}

interface Scored {
  /** Share of single requests inside their interval, and 1 if the median was in its own. */
  requestsHeld: number
  medianHeld: number
  /** Width of the interval of one request over the spread of requests (2.5 to 97.5 %) of all blocks. */
  width: number
  /** Predicted over measured median, less 1. */
  error: number
}

function scoreCase({ plan, requests }: Case, spreadMs: number): Scored {
  const { interval, typicalInterval, predictedMs } = plan
  const times = requests.map(({ totalMs }) => totalMs)
  const inside = (ms: number, { lowMs, highMs }: Plan['interval']) => ms >= lowMs && ms <= highMs
  return {
    requestsHeld: times.filter((ms) => inside(ms, interval)).length / times.length,
    medianHeld: inside(median(times), typicalInterval) ? 1 : 0,
    width: (interval.highMs - interval.lowMs) / spreadMs,
    error: predictedMs / median(times) - 1,
  }
}

function scoresOf({ blocks }: Measured): Scored[] {
  return blocks.flatMap(({ cases }) =>
    cases.filter(({ requests }) => requests.length > 0).map((one) => scoreCase(one, spreadOf(one.k, blocks))),
  )
}

/** What the machine really shows: of all requests at that cut. */
function spreadOf(k: number, blocks: Measured['blocks']): number {
  const times = blocks.flatMap(({ cases }) =>
    cases.filter((one) => one.k === k).flatMap(({ requests }) => requests.map(({ totalMs }) => totalMs)),
  )
  return quantile(times, 0.975) - quantile(times, 0.025)
}

/**
 * Errors of the shape: the first stage, the second and both as fractions of the whole, by the profile of the machine that
 * runs each, less CPU time over that of the whole model asked in the same round. Both machines are on one computer, so that
 * their wholes are one.
 */
function shapeErrors(measured: Measured): number[] {
  return shapesOf(measured).flatMap(({ errors }) => errors)
}

interface Shape {
  errors: number[]
  /** Half the 95 % interval of the measured median of both stages over the whole, as a share of it. */
  noise: number
}

function shapesOf({ blocks, layers, profiles }: Measured): Shape[] {
  const all = new Map<number, Case[]>()
  for (const { cases } of blocks) for (const one of cases) all.set(one.k, [...(all.get(one.k) ?? []), one])
  const wholes = all.get(layers) ?? []
  const shareOn = (resource: string, from: number, to: number) => {
    const profile = profiles.find((one) => one.resource === resource)
    return profile ? stageMs(profile, from, to) / stageMs(profile, 0, layers) : NaN
  }
  return [...all].flatMap(([k, cases]) => {
    if (k === layers) return []
    const paired = cases.flatMap((one, block) => {
      const whole = new Map(wholes[block]?.requests.map(({ round, cpuMs }) => [round, sum(cpuMs)]))
      return one.requests.flatMap(({ round, cpuMs }) => {
        const ms = whole.get(round)
        return ms === undefined ? [] : [cpuMs.map((part) => part / ms)]
      })
    })
    const predicted = [shareOn('device', 0, k), shareOn('edge', k, layers)]
    const parts = predicted.map((share, at) => share - median(paired.map((part) => part[at] ?? 0)))
    const both = paired.map(sum)
    const error = sum(predicted) / median(both) - 1
    return [{ errors: [...parts, error].map(Math.abs), noise: medianHalfWidth(both) / median(both) }]
  })
}

/** Half the 95 % interval of a median, from the quartiles (R. McGill, J. Tukey, W. Larsen, The American Statistician 32, 1978). */
const medianHalfWidth = (values: readonly number[]): number =>
  (1.57 * (quantile(values, 0.75) - quantile(values, 0.25))) / Math.sqrt(values.length)

const percent = (fraction: number) => 100 * fraction

export function figuresOf(measured: readonly Measured[]): Figure[] {
  const names = [...new Set(measured.map(({ condition }) => condition))]
  const profiles = measured.flatMap((one) => one.profiles)
  const shapes = measured.flatMap(shapeErrors)
  const passed = profiles.filter(({ predictionError }) => predictionError?.ok !== false).length
  // Where others compute, or a quota stops it, the clock counts what is none of its cost.
  const alone = measured.filter(({ condition }) => condition === 'quiet').flatMap((one) => one.profiles)
  const costs = alone.filter(({ whole }) => whole.medianMs >= 10).map(({ cost }) => cost?.inferences ?? 0)
  return [
    ...names.flatMap((name) =>
      conditionFigures(
        name,
        measured.filter(({ condition }) => condition === name),
      ),
    ),
    figure('ranges relative to the whole, error: median', percent(median(shapes)), '%', 'lower', 3),
    figure('the same: 95th percentile', percent(quantile(shapes, 0.95)), '%', 'lower', 10),
    figure(
      'how far the measured ratios themselves are known, 95th percentile: ±',
      percent(
        quantile(
          measured.flatMap(shapesOf).map(({ noise }) => noise),
          0.95,
        ),
      ),
      '%',
      'lower',
      null,
    ),
    figure('self-checks passed', percent(passed / profiles.length), '%', 'higher', 95),
    figure('profiles', profiles.length, '', 'higher', null),
    ...(costs.length > 0
      ? [figure('cost of a profile of models ≥ 10 ms, largest', Math.max(...costs), 'runs', 'lower', 40)]
      : []),
  ]
}

function conditionFigures(name: string, measured: readonly Measured[]): Figure[] {
  const scores = measured.flatMap(scoresOf)
  const held = (pick: (score: Scored) => number) => percent(sum(scores.map(pick)) / scores.length)
  return [
    figure(
      `${name}: requests inside their interval`,
      held((one) => one.requestsHeld),
      '%',
      'higher',
      90,
    ),
    figure(
      `${name}: medians inside theirs`,
      held((one) => one.medianHeld),
      '%',
      'higher',
      90,
    ),
    figure(
      `${name}: width over real spread, median`,
      median(scores.map((one) => one.width)),
      'x',
      'lower',
      2,
    ),
    figure(
      `${name}: error of the median, median`,
      percent(median(scores.map(({ error }) => Math.abs(error)))),
      '%',
      'lower',
      null,
    ),
  ]
}

/** What was measured of one model, for people. */
export function linesOf(one: Measured): string {
  const scores = scoresOf(one)
  const list = (pick: (score: Scored) => number, digits = 0) =>
    scores.map((score) => pick(score).toFixed(digits)).join(' ')
  const checks = one.profiles.map(({ predictionError, cost, whole }) => {
    const check = predictionError?.ok === false ? 'FAILED' : 'ok'
    return `${whole.medianMs.toFixed(1)} ms, check ${check}, ${cost?.inferences.toFixed(0)} runs`
  })
  return [
    `${one.condition}, ${one.model}: ${checks.join(' | ')}`,
    `  requests held %  ${list(({ requestsHeld }) => 100 * requestsHeld)}`,
    `  median held      ${list(({ medianHeld }) => medianHeld)}`,
    `  width / spread   ${list(({ width }) => width, 1)}`,
    `  error %          ${list(({ error }) => 100 * error, 1)}`,
    `  shape error %    ${shapeErrors(one)
      .map((error) => (100 * error).toFixed(1))
      .join(' ')}`,
  ].join('\n')
}
