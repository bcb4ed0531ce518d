/**
 * What may run a stage: a resource with runtime options. Times include its slowdown.
 *
 *   stage [i, j) = fixedMs + max(0, prefixMs[j] − prefixMs[i] + enterMs[i] + exitMs[j])
 *
 * So a stage's time is a part that its begin decides and a part that its end decides, but where the sum is cut off at 0
 * (`dips`): there the search's bounds are too low and the exact time is worked out for each plan.
 */
import type { RuntimeOptions } from '../../contracts/resource.ts'
import type { ChainCodec } from './chain-codecs.ts'
import { type Confidence, stageBound } from '../problem/confidence.ts'
import {
  ownOptions,
  type PlanningProfile,
  type PlanningResource,
  type Problem,
  profilesOf,
} from '../problem/problem.ts'
import { sameOptions } from '../problem/options.ts'

export interface Unit {
  /** Index of the resource in its chain. */
  resource: number
  /** 0: the resource's first profile. Lower ones win ties. */
  variant: number
  /** Set when they are not the resource's own. */
  options: RuntimeOptions | undefined
  prefixMs: Float64Array
  enterMs: Float64Array
  exitMs: Float64Array
  fixedMs: number
  /** A stage never takes less than the difference of its prefixes and this. */
  leastExtraMs: number
  /** True when some stage would take less than nothing. */
  dips: boolean
  scaleMs: number
  /** Per codec of the chain: ms per byte, NaN where it has no speed. */
  encodeMsPerByte: Float64Array
  decodeMsPerByte: Float64Array
}

export function unitsOf(
  problem: Problem,
  resource: PlanningResource,
  at: number,
  codecs: readonly ChainCodec[],
  confidence: Confidence,
): Unit[] {
  const own = ownOptions(problem, resource)
  return profilesOf(problem, resource).map((profile, variant) => ({
    resource: at,
    variant,
    options: sameOptions(profile.options, own) ? undefined : profile.options,
    ...timesOf(profile, resource.slowdown, confidence === 'upper' ? 'upper' : 'median'),
    ...speedsOf(profile, resource.slowdown, codecs),
  }))
}

/** ms of the stage [from, to). */
export function stageMs(unit: Unit, from: number, to: number): number {
  const ms = unit.prefixMs[to]! - unit.prefixMs[from]! + unit.enterMs[from]! + unit.exitMs[to]!
  return unit.fixedMs + Math.max(0, ms)
}

function timesOf(profile: PlanningProfile, slowdown: number, confidence: 'median' | 'upper') {
  const bound = stageBound(profile, confidence)
  const layers = profile.layerMs.length
  const scale = slowdown * bound.factor
  const prefixMs = new Float64Array(layers + 1)
  for (let k = 0; k < layers; k += 1) prefixMs[k + 1] = prefixMs[k]! + profile.layerMs[k]! * scale
  const costs = (values: readonly number[] | undefined) => {
    const scaled = new Float64Array(layers + 1)
    if (values) for (let k = 0; k <= layers; k += 1) scaled[k] = values[k]! * scale
    return scaled
  }
  const enterMs = costs(profile.enterMs)
  const exitMs = costs(profile.exitMs)
  const fixedMs = bound.fixedMs * slowdown
  const plain = profile.enterMs === undefined && profile.exitMs === undefined
  return {
    prefixMs,
    enterMs,
    exitMs,
    fixedMs,
    leastExtraMs: fixedMs + (plain ? 0 : least(enterMs) + least(exitMs)),
    dips: !plain && dips(prefixMs, enterMs, exitMs),
    scaleMs: prefixMs[layers]! + fixedMs + (plain ? 0 : -least(enterMs) - least(exitMs)),
  }
}

function dips(prefixMs: Float64Array, enterMs: Float64Array, exitMs: Float64Array): boolean {
  // The begin before the end that leaves least.
  let begin = Infinity
  for (let k = 0; k < prefixMs.length; k += 1) {
    if (begin + prefixMs[k]! + exitMs[k]! < 0) return true
    begin = Math.min(begin, enterMs[k]! - prefixMs[k]!)
  }
  return false
}

function least(values: Float64Array): number {
  return values.reduce((low, value) => Math.min(low, value), 0)
}

function speedsOf(profile: PlanningProfile, slowdown: number, codecs: readonly ChainCodec[]) {
  const speeds = codecs.map(({ name }) => {
    if (name === 'none') return { encodeMsPerMb: 0, decodeMsPerMb: 0 }
    return profile.codecs?.find((speed) => speed.codec === name)
  })
  const perByte = (msPerMb: number | undefined) => (msPerMb === undefined ? NaN : (msPerMb * slowdown) / 1e6)
  return {
    encodeMsPerByte: Float64Array.from(speeds, (speed) => perByte(speed?.encodeMsPerMb)),
    decodeMsPerByte: Float64Array.from(speeds, (speed) => perByte(speed?.decodeMsPerMb)),
  }
}
