/**
 * Rounds of requests with profiles between them. In a round every cut is asked in turn, with its dummy beside it, and
 * the whole model on one service as the reference: how fast the machine is just now.
 *
 * A profile takes a second or two and so sees one state of a shared machine; rounds over minutes see many. So
 * several are taken, each by the same profiler with the same budget, and each is held against the rounds just before
 * and just after it. Where a machine's speed changes within seconds that is not near enough; so each cut is also held
 * against the reference beside it: how much longer the split model takes than the whole one, whatever the speed.
 */
import { nearestRank } from '../support/nearest-rank.ts'
import type { Measurement } from '../../services/inference/jobs/profiler/profile-model.ts'
import { watchForeign } from './profile-foreign.ts'
import type { Deployed, Sample } from './profile-serve.ts'

export interface DeployedPair {
  k: number
  bytes: number
  real: Deployed
  dummy: Deployed
}

export interface Targets {
  pairs: DeployedPair[]
  /** The whole model on one service. */
  reference: Deployed
}

/** The samples of one cut. */
export interface CutSamples {
  k: number
  bytes: number
  /** The split model, and the dummy that crosses the same bytes. */
  model: Sample[]
  hop: Sample[]
  /** The whole model on one service, asked right after. */
  reference: Sample[]
}

export interface Round {
  cuts: CutSamples[]
  /** How busy foreign processes kept the machine, at its worst. */
  foreignCores: number
}

export interface Interleaved {
  rounds: Round[]
  /** In order, and the rounds just before and just after each. */
  profiles: Measurement[]
  near: [before: Round, after: Round][]
  /** Profiles that were left out: see STEADY. */
  unsteady: number
}

/** Profiles of a model, one between each two rounds; fewer of models that take long, or the benchmark takes half a day. */
const PROFILES = 5
const LONG_MODEL_PROFILES = 3
/**
 * If the whole model takes this part longer or less long in the round after a profile than in the one before, the
 * machine has changed its speed meanwhile: the profile is left out and another taken, at most as many times as profiles
 * are wanted. What the profile says and how the split model does are not looked at for that.
 */
const STEADY = 0.05
/** Cores kept busy by processes that are not ours: above this, what was timed is timed again, so many times at most. */
const FOREIGN_CORES = 0.15
const MAX_REPEATS = 1
/** Requests in one visit of a cut: the first after another deployment's is slower, and not counted. */
const VISIT_MS = 150
const MIN_PER_VISIT = 3
const MAX_PER_VISIT = 12
/** For models that take long: the noise of a single request is small. */
const LONG_MODEL_MS = 150
const LONG_MODEL_PER_VISIT = 2

/** One more round than profiles, and one before that loads and warms up, which is not counted. */
export async function interleave(
  { pairs, reference }: Targets,
  wholeMs: number,
  profile: () => Promise<Measurement>,
): Promise<Interleaved> {
  const visits =
    wholeMs >= LONG_MODEL_MS
      ? LONG_MODEL_PER_VISIT
      : Math.min(MAX_PER_VISIT, Math.max(MIN_PER_VISIT, Math.round(VISIT_MS / wholeMs)))
  const round = () => oneRound(pairs, reference, visits)
  const wanted = wholeMs >= LONG_MODEL_MS ? LONG_MODEL_PROFILES : PROFILES
  await round()
  const measured: Interleaved = { rounds: [], profiles: [], near: [], unsteady: 0 }
  let before = await round()
  measured.rounds.push(before)
  while (measured.profiles.length < wanted) {
    const taken = (await undisturbed(profile)).value
    const after = await round()
    measured.rounds.push(after)
    const change = Math.abs(paceOf(after) / paceOf(before) - 1)
    if (change > STEADY && measured.unsteady < wanted) measured.unsteady += 1
    else {
      measured.profiles.push(taken)
      measured.near.push([before, after])
    }
    before = after
  }
  return measured
}

/** Median time of the whole model in a round, ms. */
function paceOf({ cuts }: Round): number {
  const samples = cuts.flatMap(({ reference }) => reference.map(({ prefixMs }) => prefixMs))
  return nearestRank(samples, 0.5)
}

async function oneRound(pairs: readonly DeployedPair[], reference: Deployed, visits: number): Promise<Round> {
  const ask = async (deployed: Deployed) => {
    const seen = []
    for (let asked = 0; asked < visits; asked++) seen.push(await deployed.ask())
    return seen.slice(1)
  }
  const cuts: CutSamples[] = []
  const foreign: number[] = []
  for (const { k, bytes, real, dummy } of pairs) {
    const one = await undisturbed(async () => ({
      model: await ask(real),
      reference: await ask(reference),
      hop: await ask(dummy),
    }))
    cuts.push({ k, bytes, ...one.value })
    foreign.push(one.foreign)
  }
  return { cuts, foreignCores: Math.max(...foreign) }
}

/** Does it again while foreign processes keep the machine busy, and keeps the least disturbed. */
export async function undisturbed<T>(work: () => Promise<T>): Promise<{ value: T; foreign: number }> {
  let best: { value: T; foreign: number } | undefined
  for (let attempt = 0; attempt <= MAX_REPEATS; attempt++) {
    const foreignSince = watchForeign()
    const value = await work()
    const foreign = foreignSince()
    if (best === undefined || foreign < best.foreign) best = { value, foreign }
    if (best.foreign <= FOREIGN_CORES) break
  }
  if (best === undefined) throw new Error('nothing was attempted')
  return best
}
