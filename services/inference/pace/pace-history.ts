/** The samples of a machine's pace, and what they say about the next minute. Pure. */
import type { Pace, PaceUnderLoad, Spread } from '../../../shared/contracts/pace.ts'
import { median, quantile } from '../../../shared/platform/statistics.ts'

export interface PaceSample {
  /** Monotonic time in ms. */
  atMs: number
  source: 'idle' | 'served'
  /** CPU time of a run of the reference network, in ms. */
  cpuMs: number
  /** Wall time over CPU time; undefined if the run was stopped by a quota. */
  waiting: number | undefined
  /** Cores that other processes kept busy around the sample. */
  otherCores: number | undefined
}

/** What a request meets now: neighbours of a virtual machine come and go within minutes. */
const RECENT_MS = 180_000
/** The effect of a load that has gone is remembered for this long. */
const KEPT_MS = 3_600_000
const MAX_SAMPLES = 3000
/** A load of fewer samples is not described. */
const MIN_LOAD_SAMPLES = 5

export type PaceFigures = Pick<Pace, 'cpuMs' | 'requestMs' | 'samples' | 'spanMs' | 'otherCores' | 'byLoad'>

export class PaceHistory {
  readonly #slowdown: number
  #samples: PaceSample[] = []

  /** @param slowdown that the resource emulates: it waits (slowdown − 1) times the CPU time of each run. */
  constructor(slowdown: number) {
    this.#slowdown = slowdown
  }

  add(sample: PaceSample): void {
    this.#samples.push(sample)
    const kept = sample.atMs - KEPT_MS
    const tooMany = this.#samples.length - MAX_SAMPLES
    if (tooMany > 0 || (this.#samples[0]?.atMs ?? kept) < kept)
      this.#samples = this.#samples.filter(({ atMs }, at) => at >= tooMany && atMs >= kept)
  }

  /** @returns undefined without samples of the last minutes. */
  figures(nowMs: number): PaceFigures | undefined {
    const recent = this.#samples.filter(({ atMs }) => nowMs - atMs <= RECENT_MS)
    const load = loadOf(recent.at(-1))
    // Under another load the machine was another machine.
    const ofLoad = recent.filter((sample) => loadOf(sample) === load)
    // A load that has just come is hardly known: then all states of the machine count.
    const ofNow = ofLoad.length >= MIN_LOAD_SAMPLES ? ofLoad : recent
    // A stage takes longer than the reference network: the machine's ups and downs average out in it.
    const served = ofNow.filter(({ source }) => source === 'served')
    const alike = served.length >= ENOUGH && spanOf(served) >= BURST_MS ? served : ofNow
    if (alike.length === 0) return undefined
    const others = alike.flatMap(({ otherCores }) => otherCores ?? [])
    const count = (source: PaceSample['source']) => alike.filter((sample) => sample.source === source).length
    return {
      cpuMs: spreadOf(alike.map(({ atMs, cpuMs }) => ({ atMs, ms: cpuMs }))),
      requestMs: this.#requestMs(alike),
      samples: { idle: count('idle'), served: count('served') },
      spanMs: spanOf(alike),
      ...(others.length > 0 && { otherCores: median(others) }),
      byLoad: this.#byLoad(),
    }
  }

  #byLoad(): PaceUnderLoad[] {
    const loads = new Map<number, PaceSample[]>()
    for (const sample of this.#samples) {
      const load = loadOf(sample)
      if (load === undefined) continue
      const alike = loads.get(load) ?? []
      alike.push(sample)
      loads.set(load, alike)
    }
    return [...loads]
      .filter(([, samples]) => samples.length >= MIN_LOAD_SAMPLES)
      .sort(([a], [b]) => a - b)
      .map(([otherCores, samples]) => ({
        otherCores,
        samples: samples.length,
        requestMs: this.#requestMs(samples),
      }))
  }

  /** A run that a quota stopped counts with the waiting that is usual otherwise: the quota is described apart. */
  #requestMs(samples: readonly PaceSample[]): Spread {
    const known = samples.flatMap(({ waiting }) => waiting ?? [])
    const usual = known.length > 0 ? median(known) : 1
    const slowdown = this.#slowdown
    return spreadOf(
      samples.map(({ atMs, cpuMs, waiting = usual }) => ({
        atMs,
        ms: (cpuMs * (slowdown - 1 + waiting)) / slowdown,
      })),
    )
  }
}

/** Whole cores kept busy by others. */
const loadOf = (sample: PaceSample | undefined): number | undefined =>
  sample?.otherCores === undefined ? undefined : Math.round(sample.otherCores)

export interface Timed {
  atMs: number
  ms: number
}

const spanOf = (samples: readonly { atMs: number }[]): number =>
  (samples.at(-1)?.atMs ?? 0) - (samples[0]?.atMs ?? 0)

/** From this number of samples on their quantiles are used, below it their range. */
const ENOUGH = 40
/** Added to either side: the samples are a sample themselves (shared/design: 90 to 94 % of the next minute inside). */
const MARGIN = 0.03
/** A machine that was watched for this long has shown most of what it does. */
const BURST_MS = 20_000
/**
 * What a burst of samples cannot know, as fractions, at its beginning: the machine's other states. Measured on a shared
 * virtual machine: samples of two seconds missed the median of the next minute by up to 14 %.
 */
const UNSEEN_REQUEST = 0.1
const UNSEEN_MEDIAN = 0.12
const UNSEEN_WIDER = 0.5
/** Medians of parts of this length are compared for how the next minute's may differ. */
const PART_MS = 10_000
/** A minute has six, but neighbouring ones are alike: it varies as if it had fewer. */
const PARTS_OF_A_MINUTE = 3
const MEDIAN_MARGIN = 0.02

/** @param samples at least one, in the order of their times. */
export function spreadOf(samples: readonly Timed[]): Spread {
  const values = samples.map(({ ms }) => ms)
  const middle = median(values)
  const unseen = Math.exp(-spanOf(samples) / BURST_MS)
  const enough = values.length >= ENOUGH
  const lowest = enough ? quantile(values, 0.025) : Math.min(...values)
  const highest = enough ? quantile(values, 0.975) : Math.max(...values)
  const widened = (distance: number) =>
    distance * (1 + UNSEEN_WIDER * unseen) + middle * (MARGIN + UNSEEN_REQUEST * unseen)
  const below = widened(middle - lowest)
  const above = widened(highest - middle)
  const margin = middle * (MEDIAN_MARGIN + UNSEEN_MEDIAN * unseen)
  const next = medianOfAMinute(samples) ?? { low: middle - below / 2, high: middle + above / 2 }
  return {
    median: middle,
    low: positive(middle - below, middle),
    high: middle + above,
    medianLow: positive(Math.max(middle - below, Math.min(middle, next.low) - margin), middle),
    medianHigh: Math.min(middle + above, Math.max(middle, next.high) + margin),
  }
}

/** No time is nothing: an interval of a machine that was hardly seen may reach below. */
const LEAST = 0.1
const positive = (ms: number, middle: number) => Math.max(ms, LEAST * middle)

/** Below so many parts they say nothing about how parts differ. */
const LEAST_PARTS = 3
const DRAWS = 200

/**
 * Where the median of the next minute lies in 95 % of cases, if it is made of parts like those seen: a machine that changes
 * between two states has medians in either, and none between them. By drawing minutes of the parts (a bootstrap of blocks).
 * @returns undefined if too few parts were seen.
 */
function medianOfAMinute(samples: readonly Timed[]): { low: number; high: number } | undefined {
  const parts = new Map<number, number[]>()
  for (const { atMs, ms } of samples) {
    const part = Math.floor(atMs / PART_MS)
    parts.set(part, [...(parts.get(part) ?? []), ms])
  }
  const medians = [...parts.values()].map(median)
  if (medians.length < LEAST_PARTS) return undefined
  const draw = drawing()
  const minutes = Array.from({ length: DRAWS }, () =>
    median(Array.from({ length: PARTS_OF_A_MINUTE }, () => medians[draw(medians.length)] ?? 0)),
  )
  return { low: quantile(minutes, 0.025), high: quantile(minutes, 0.975) }
}

/** Whole numbers below `count`, always the same ones: equal samples have equal intervals (Lehmer 1951, modulus 2^31 − 1). */
function drawing(): (count: number) => number {
  let state = 1
  return (count) => {
    state = (state * 48_271) % 2_147_483_647
    return state % count
  }
}
