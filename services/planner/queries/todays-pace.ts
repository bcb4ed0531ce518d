/**
 * Brings profiles to the present: a profile says how a model relates to the reference network, the pace how long that takes
 * on the machine now. The interval of a stage holds both: how the machine moves, and what the profile does not know.
 *
 *   a request waits   profile ms · (reference network now / reference network beside the profile) · stops of a quota + call
 *
 * A group that has used its quota up stands still until the next period. One that always computes therefore takes
 * period / quota times as long, give or take one stop of (period − quota); one that pauses meets fewer stops, as the pace
 * tells. Pure.
 */
import type { Pace, Spread } from '../../../shared/contracts/pace.ts'
import type { PaceOfPlan } from '../../../shared/contracts/plan-pace.ts'
import type { Interval } from '../../../shared/contracts/profile.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import { sum } from '../../../shared/platform/statistics.ts'
import type { PlanningProfile, QuotaStops } from '../../../shared/planning/index.ts'
import type { MirroredProfile } from '../knowledge/mirrored-documents.ts'

export type PacedProfile = MirroredProfile & Pick<PlanningProfile, 'typical' | 'host' | 'callMs' | 'stops'>

export interface Paced {
  profile: PacedProfile
  /** Undefined if the profile cannot be related to the pace: it is imported, or older than the pace is measured. */
  pace: PaceOfPlan | undefined
}

/** Variation of a call of which nothing is known: ms. */
const CALL_MS = 0.2
/** Beside the reference network other networks keep pace to this: two standard deviations (docs/explanation/measurements.md). */
const FOLLOWS = 0.05

/** @param pace of the resource now; undefined if it has not told any. */
export function atTodaysPace(profile: MirroredProfile, resource: Resource, pace: Pace | undefined): Paced {
  const host = new URL(resource.url).hostname
  const known = profile.pace
  if (!known || !pace || pace.network !== known.network || pace.threads !== known.threads)
    return { profile: { ...profile, host }, pace: undefined }
  const { cpuMs, quota, callMs } = pace
  const requestMs = withUnseenWaiting(pace, resource)
  const cores = profile.options.threads / resource.slowdown
  const paceNow = requestMs.median / known.ms
  const wholeMs = sum(profile.layerMs) * paceNow
  const { factor: stopFactor, stops } = stopsOf(pace, { cores, wholeMs, threads: profile.options.threads })
  const factor = paceNow * stopFactor
  const scale = (ms: number) => ms * factor
  const own = Math.hypot(FOLLOWS, known.error, ownError(profile))
  const beside = (of: keyof Spread) => (callMs?.[of] ?? 0) / resource.slowdown
  const callOff = (of: 'high' | 'medianHigh') => Math.max(CALL_MS, beside(of) - beside('median'))
  const { layerMs, enterMs, exitMs } = profile
  // The interval is right for half of the model, and about right for other stages.
  const atMs = scale(sum(layerMs)) / 2
  return {
    profile: {
      ...profile,
      host,
      layerMs: layerMs.map(scale),
      ...(enterMs && { enterMs: enterMs.map(scale) }),
      ...(exitMs && { exitMs: exitMs.map(scale) }),
      callMs: beside('median'),
      // The slowdown multiplies everything of a stage, and a stop is as long as it is.
      ...(stops && { stops: { ...stops, ms: stops.ms / resource.slowdown } }),
      interval: widthsOf(requestMs, 'low', 'high', { own, callMs: callOff('high'), atMs }),
      typical: widthsOf(requestMs, 'medianLow', 'medianHigh', { own, callMs: callOff('medianHigh'), atMs }),
    },
    pace: {
      resource: resource.name,
      samples: pace.samples.idle + pace.samples.served,
      spanMs: pace.spanMs,
      sinceProfile: cpuMs.median / known.ms,
      below: 1 - cpuMs.low / cpuMs.median,
      above: cpuMs.high / cpuMs.median - 1,
      waiting: requestMs.median / cpuMs.median,
      ...(callMs && { callMs: callMs.median }),
      ...(pace.otherCores !== undefined && { otherCores: pace.otherCores }),
      ...(quota && {
        quotaCores: quota.quotaMs / quota.periodMs,
        stops: stopFactor,
        stopMs: stops?.ms ?? 0,
      }),
    },
  }
}

/** The paces that count for a query: as they are, or as they were measured under the load that it supposes. */
export class Pacing {
  /** One line per supposition. */
  readonly notes: string[] = []
  readonly #paces: ReadonlyMap<string, Pace>
  readonly #loads: Readonly<Record<string, number>>

  /** @param loads by resource: cores that other processes are supposed to keep busy. */
  constructor(paces: ReadonlyMap<string, Pace>, loads: Readonly<Record<string, number>> = {}) {
    this.#paces = paces
    this.#loads = loads
  }

  bring(profile: MirroredProfile, resource: Resource): Paced {
    const pace = this.#paces.get(resource.name)
    const load = this.#loads[resource.name]
    return atTodaysPace(profile, resource, load === undefined ? pace : this.#underLoad(resource, pace, load))
  }

  #underLoad({ name, machine }: Resource, pace: Pace | undefined, load: number): Pace | undefined {
    if (!pace) {
      this.#note(`load of ${name} was not applied: how fast it is now is not known`)
      return undefined
    }
    const measured = pace.byLoad.find(({ otherCores }) => otherCores === load)
    const quiet = pace.byLoad[0]
    if (measured) {
      this.#note(`${name} with ${load} other cores busy, as measured there in ${measured.samples} samples`)
      return { ...pace, otherCores: load, requestMs: measured.requestMs }
    }
    const before = quiet?.otherCores ?? pace.otherCores ?? 0
    const factor = shareOf(machine.cores, before) / shareOf(machine.cores, load)
    this.#note(
      `${name} with ${load} other cores busy, not measured there: cores shared evenly are supposed, ` +
        `${Number(factor.toFixed(2))} times the time with ${Number(before.toFixed(1))}`,
    )
    return { ...pace, otherCores: load, requestMs: times(quiet?.requestMs ?? pace.requestMs, factor) }
  }

  #note(text: string): void {
    const note = `what-if: ${text}`
    if (!this.notes.includes(note)) this.notes.push(note)
  }
}

/** Share of a core that one more process gets among `busy` others. */
const shareOf = (cores: number, busy: number): number => Math.min(1, cores / (1 + busy))

const times = ({ median, low, high, medianLow, medianHigh }: Spread, factor: number): Spread => ({
  median: median * factor,
  low: low * factor,
  high: high * factor,
  medianLow: medianLow * factor,
  medianHigh: medianHigh * factor,
})

/**
 * Where other work keeps every core busy, a run of a millisecond is let in at once, and one of many has to share; and who
 * computes now may be done when a request comes, as a measurement beside this one. As long as the pace rests on short runs
 * more than on served stages, a request may wait as if the cores were shared evenly, or not at all.
 */
function withUnseenWaiting(
  { requestMs, cpuMs, samples, otherCores = 0 }: Pace,
  { machine, slowdown }: Resource,
): Spread {
  if (samples.served > samples.idle) return requestMs
  // An emulated slow machine waits by the clock, whatever else runs.
  const evenly = (slowdown - 1 + 1 / shareOf(machine.cores, otherCores)) / slowdown
  return {
    median: requestMs.median,
    low: Math.min(requestMs.low, cpuMs.low),
    medianLow: Math.min(requestMs.medianLow, cpuMs.medianLow),
    medianHigh: Math.max(requestMs.medianHigh, cpuMs.median * evenly),
    high: Math.max(requestMs.high, cpuMs.high * evenly),
  }
}

/** Below so many stops a request it is one of few that meets one; below so many, hardly any. */
const TYPICAL_STOPS = 0.5
const RARE_STOPS = 0.025

/**
 * How many times longer stages typically take for a quota, and its stops. A request that computes for less than the quota
 * meets its end or does not: the typical one does not, as long as less than half of them do.
 * @param cores that a stage keeps busy. @param wholeMs of the whole model without stops.
 */
function stopsOf(
  { quota, quotaSeen }: Pace,
  { cores, wholeMs, threads }: { cores: number; wholeMs: number; threads: number },
): { factor: number; stops?: QuotaStops } {
  const longest = quota ? (Math.min(1, cores) * quota.periodMs) / quota.quotaMs : 1
  if (!quota || longest <= 1) return { factor: 1 }
  const longestMs = quota.periodMs - quota.quotaMs
  // Before the load of now has shown anything: it always computes.
  const { share, stopMs } = quotaSeen ?? { share: 1, stopMs: longestMs }
  const met = (share * wholeMs * threads) / quota.quotaMs
  if (met < RARE_STOPS) return { factor: 1 }
  const areExpected = met >= TYPICAL_STOPS
  const factor = areExpected ? 1 + share * (stopMs / longestMs) * (longest - 1) : 1
  return { factor, stops: { ms: stopMs, perMs: met / (wholeMs * factor), areExpected } }
}

/** Two-sided 95 % of a normal distribution. */
const Z95 = 1.96

/** What the profile's own check missed by, as half the width of a 95 % interval. */
function ownError({ predictionError }: MirroredProfile): number {
  const errors = (predictionError?.cuts ?? []).map(
    ({ predictedMs, measuredMs }) => predictedMs / measuredMs - 1,
  )
  if (errors.length === 0) return 0
  return Z95 * Math.sqrt(errors.reduce((sum, error) => sum + error ** 2, 0) / errors.length)
}

/** What an interval has beside the pace: the profile's error as a fraction, and a call in ms, at a stage of `atMs`. */
interface Beside {
  own: number
  callMs: number
  atMs: number
}

function widthsOf(
  spread: Spread,
  low: 'low' | 'medianLow',
  high: 'high' | 'medianHigh',
  { own, callMs, atMs }: Beside,
): Interval {
  const relative = Math.hypot(spread[high] / spread.median - 1, own)
  // A call is early or late whatever the run is: squares add.
  const more = Math.hypot(relative * atMs, callMs) - relative * atMs
  return {
    confidence: 0.95,
    relative,
    below: Math.min(1, Math.hypot(1 - spread[low] / spread.median, own)),
    fixedMs: more,
  }
}

const percent = (fraction: number) => `${Math.round(100 * fraction)} %`

/** One sentence for people: what a request on this machine meets now. */
export function paceText({ resource, below, above, samples, spanMs, ...pace }: PaceOfPlan): string {
  const { sinceProfile, waiting, otherCores, quotaCores, stops = 1, stopMs = 0 } = pace
  const changed = sinceProfile - 1
  const parts = [
    `its own pace moves by −${percent(below)} to +${percent(above)}`,
    ...(Math.abs(changed) >= 0.1
      ? [
          `it is ${percent(Math.abs(changed))} ${changed > 0 ? 'slower' : 'quicker'} than when it was profiled`,
        ]
      : []),
    ...(waiting >= 1.05
      ? [`other work, on ${(otherCores ?? 0).toFixed(1)} cores, lengthens times by ${percent(waiting - 1)}`]
      : []),
    ...(quotaCores !== undefined && stops > 1
      ? [`its quota of ${quotaCores} cores lengthens times ${Number(stops.toFixed(1))}-fold`]
      : []),
    ...(quotaCores !== undefined && stops === 1 && stopMs > 0
      ? [`its quota of ${quotaCores} cores stops some requests for ${Math.round(stopMs)} ms`]
      : []),
  ]
  return `${resource}: ${parts.join('; ')} (${samples} samples in ${Math.round(spanMs / 1000)} s)`
}
