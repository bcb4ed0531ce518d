/** From profiles, hops and measured requests to errors. Pure. */
import { median, quartileDeviation, sum } from '../../shared/platform/statistics.ts'
import type { Measurement } from '../../services/inference/jobs/profiler/profile-model.ts'
import type { Blocks } from './profile-blocks-job.ts'
import type { CutSamples, Interleaved, Round } from './profile-rounds.ts'
import type { Sample } from './profile-serve.ts'

type Predicting = Pick<Measurement, 'whole' | 'layerMs' | 'enterMs' | 'exitMs' | 'interval'>

/** One profile's word on one cut, against some rounds: signed errors as fractions, predicted too long = positive. */
export interface Verdict {
  measuredMs: number
  predictedMs: number
  /** Stages alone, as the executors reported them: wall time, and CPU time. */
  stages: { predictedMs: number; wallMs: number; cpuMs: number }
  hopMs: number
  /** Half the width of the stated interval. */
  halfWidthMs: number
  error: number
  stagesError: number
  held: boolean
}

export interface Scored {
  k: number
  bytes: number
  /** |error|, the median over the profiles, each against the rounds just before and after it. */
  error: number
  stagesError: number
  /** Median with its sign: what all profiles miss in the same direction. */
  bias: number
  stagesBias: number
  /**
   * The cost of the split without the machine's speed: CPU time of both stages over that of the whole model asked beside
   * them. Predicted over measured cost, less 1: the median over all rounds, with its sign.
   */
  splitBias: number
  /**
   * Error end to end at the machine's pace of the moment: the stages' prediction scaled by what the whole model, asked
   * beside the cut in the same round, took over what the profile says of it. Median over rounds and profiles, signed.
   */
  pacedError: number
  /** Part of the profiles whose interval holds what was measured next to them. */
  held: number
  /** The first profile alone against the median of all rounds, drift of the machine and all. */
  naive: Verdict
  near: Verdict[]
  /** The original's method, timed once, against all rounds; undefined if it was not run. */
  blocksError: number | undefined
}

/** A median of n samples varies by 1.25 standard deviations over the root of n; 1.96 of that are 95 %. */
const MEDIAN_HALF_WIDTH = 1.96 * 1.253

export function score(measured: Interleaved, blocks: Blocks | undefined): Scored[] {
  const { rounds, profiles } = measured
  const all = pool(rounds)
  const [first] = profiles
  if (first === undefined) return []
  const naive = judge(first, all)
  const near = profiles.map((profile, at) => judge(profile, pool(measured.near[at] ?? [])))
  const blocksMs = blocks && sum(blocks.blocks.map(({ ms }) => ms))
  return all.flatMap(({ k, bytes }, at) => {
    const split = splitRatio(rounds, at)
    const verdicts = near.flatMap((cuts) => cuts[at] ?? [])
    const alone = naive[at]
    if (alone === undefined) return []
    const of = (pick: (verdict: Verdict) => number) => median(verdicts.map(pick))
    return {
      k,
      bytes,
      error: of(({ error }) => Math.abs(error)),
      stagesError: of(({ stagesError }) => Math.abs(stagesError)),
      bias: of(({ error }) => error),
      stagesBias: of(({ stagesError }) => stagesError),
      splitBias: median(
        profiles.map((profile) => predictStages(profile, k) / profile.whole.medianMs / split - 1),
      ),
      pacedError: median(profiles.flatMap((profile) => pacedErrors(profile, rounds, at, k))),
      held: verdicts.filter(({ held }) => held).length / verdicts.length,
      naive: alone,
      near: verdicts,
      blocksError:
        blocksMs === undefined ? undefined : Math.abs((blocksMs + alone.hopMs) / alone.measuredMs - 1),
    }
  })
}

/** The samples of some rounds as one. */
function pool(rounds: readonly Round[]): CutSamples[] {
  const [first] = rounds
  return (first?.cuts ?? []).map(({ k, bytes }, at) => ({
    k,
    bytes,
    model: rounds.flatMap(({ cuts }) => cuts[at]?.model ?? []),
    hop: rounds.flatMap(({ cuts }) => cuts[at]?.hop ?? []),
    reference: rounds.flatMap(({ cuts }) => cuts[at]?.reference ?? []),
  }))
}

function judge(profile: Predicting, cuts: readonly CutSamples[]): Verdict[] {
  const line = fitHops(cuts)
  return cuts.map(({ k, bytes, model, hop }) => {
    const hops = hop.map(hopOf)
    const hopMs = line(bytes)
    const measuredMs = median(model.map((sample) => sample.endToEndMs))
    const stages = {
      predictedMs: predictStages(profile, k),
      wallMs: median(model.map((sample) => sample.prefixMs + sample.suffixMs)),
      cpuMs: median(model.map((sample) => sample.cpuMs)),
    }
    const predictedMs = stages.predictedMs + hopMs
    const spreadMs = quartileDeviation(hops)
    const { relative = 0, fixedMs = 0 } = profile.interval ?? {}
    const hopHalfMs = (MEDIAN_HALF_WIDTH * spreadMs) / Math.sqrt(cuts.length * hops.length)
    const halfWidthMs = relative * stages.predictedMs + 2 * fixedMs + hopHalfMs
    return {
      measuredMs,
      predictedMs,
      stages,
      hopMs,
      halfWidthMs,
      error: predictedMs / measuredMs - 1,
      stagesError: stages.predictedMs / stages.wallMs - 1,
      held: Math.abs(predictedMs - measuredMs) <= halfWidthMs,
    }
  })
}

const predictStages = ({ layerMs, exitMs, enterMs }: Predicting, k: number) =>
  sum(layerMs) + (exitMs?.[k] ?? 0) + (enterMs?.[k] ?? 0)

/** CPU time of the split model over that of the whole one, asked right after it; median over the rounds. */
function splitRatio(rounds: readonly Round[], at: number): number {
  const cpuMs = (samples: readonly Sample[] = []) => median(samples.map((sample) => sample.cpuMs))
  return median(rounds.map(({ cuts }) => cpuMs(cuts[at]?.model) / cpuMs(cuts[at]?.reference)))
}

/** One per round. */
function pacedErrors(profile: Predicting, rounds: readonly Round[], at: number, k: number): number[] {
  return rounds.flatMap(({ cuts }) => {
    const cut = cuts[at]
    if (!cut) return []
    const pace = median(cut.reference.map((sample) => sample.prefixMs)) / profile.whole.medianMs
    const predictedMs = pace * predictStages(profile, k) + fitHops(cuts)(cut.bytes)
    return predictedMs / median(cut.model.map((sample) => sample.endToEndMs)) - 1
  })
}

const hopOf = ({ endToEndMs, prefixMs, suffixMs }: Sample) => endToEndMs - prefixMs - suffixMs

/** How the machine's own speed moved: the whole model on one service, by round. */
export interface Drift {
  /** Median of each round: wall time of the executor, ms. */
  roundsMs: number[]
  /** CPU time of the same. */
  roundsCpuMs: number[]
  /** (slowest − fastest) / median of the rounds. */
  range: number
  /** Largest change from one round to the next, as a fraction. */
  step: number
}

export function driftOf({ rounds }: Interleaved): Drift {
  const perRound = (pick: (sample: Sample) => number) =>
    rounds.map(({ cuts }) => median(cuts.flatMap(({ reference }) => reference.map(pick))))
  const roundsMs = perRound(({ prefixMs }) => prefixMs)
  const steps = roundsMs.slice(1).map((ms, at) => Math.abs(ms / (roundsMs[at] ?? ms) - 1))
  return {
    roundsMs,
    roundsCpuMs: perRound(({ cpuMs }) => cpuMs),
    range: (Math.max(...roundsMs) - Math.min(...roundsMs)) / median(roundsMs),
    step: Math.max(...steps),
  }
}

/**
 * One line through all dummies of a model, as a link's figures are: so much per request, so much per byte. The slope
 * is the median of the slopes between all pairs of cuts (Theil-Sen), each counting by how far apart their sizes are.
 */
function fitHops(cuts: readonly CutSamples[]): (bytes: number) => number {
  const points = cuts.map(({ bytes, hop }) => ({ bytes, ms: median(hop.map(hopOf)) }))
  const slopes = points
    .flatMap((a, at) =>
      points.slice(at + 1).flatMap((b) => {
        const apart = b.bytes - a.bytes
        return apart === 0 ? [] : [{ slope: (b.ms - a.ms) / apart, weight: Math.abs(apart) }]
      }),
    )
    .sort((a, b) => a.slope - b.slope)
  const half = sum(slopes.map(({ weight }) => weight)) / 2
  let passed = 0
  const middle = slopes.find(({ weight }) => (passed += weight) >= half)
  const slope = Math.max(0, middle?.slope ?? 0)
  const fixed = median(points.map(({ bytes, ms }) => ms - slope * bytes))
  return (bytes) => fixed + slope * bytes
}
