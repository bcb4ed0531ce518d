/**
 * The compact numeric form of a problem that the chain search computes with: layer costs as prefix sums, boundary bytes
 * and codecs as arrays over the boundaries, links as matrices. compile-chain.ts makes it once per problem, source and
 * confidence; it does not depend on the query.
 */
import type { RuntimeOptions } from '../../contracts/resource.ts'
import type { PlanningStructure } from '../problem/problem.ts'

/**
 * A resource with runtime options, which can run a stage. Times include the resource's slowdown.
 *
 *   stage [i, j) = fixedMs + max(0, prefixMs[j] − prefixMs[i] + enterMs[i] + exitMs[j])
 *
 * So a stage's time is a part that its begin decides plus a part that its end decides, unless the sum is cut off at 0
 * (`dips`): then the bounds of the search are too low, and the exact time is computed for each plan.
 */
export interface Runner {
  /** Index of the resource in its chain. */
  resource: number
  /** Index of the profile among those of the resource. Lower indices win ties. */
  variant: number
  /** Set if they are not the resource's own. */
  options: RuntimeOptions | undefined
  prefixMs: Float64Array
  enterMs: Float64Array
  exitMs: Float64Array
  fixedMs: number
  /** A stage takes at least the difference of its prefixes plus this. */
  minExtraMs: number
  /** True if some stage would take less than 0 ms. */
  dips: boolean
  /** Upper bound on the size of the numbers that times are computed from. */
  scaleMs: number
  /** Per codec of the chain: ms per byte, NaN if the resource has no measured speed. */
  encodeMsPerByte: Float64Array
  decodeMsPerByte: Float64Array
}

export interface ChainResource {
  name: string
  tier: string
  /** Position among the tiers that exist: 0 first, without gaps. */
  rank: number
  /** One per profile, the one with the resource's own options first; empty if it has no profile (source only). */
  runners: Runner[]
}

/** A codec as arrays over the boundaries. */
export interface ChainCodec {
  name: string
  /** Bytes on the wire, whole numbers; NaN where the codec is not calibrated. */
  wireBytes: Float64Array
  /** Share of answers that it spoils. */
  loss: Float64Array
}

/** Index of the codec `none`, which changes nothing. */
export const NO_CODEC = 0

export interface Chain {
  structure: PlanningStructure
  /** N: boundaries are 0..N. */
  layers: number
  /** By rank, then name. Lower indices win ties. */
  resources: ChainResource[]
  /** Index of the resource that has the input. */
  source: number
  /** Names by rank, also of tiers whose resources were all left out. */
  tiers: string[]
  boundaryBytes: Float64Array
  /** `weightPrefix[k]`: bytes of the weights of layers 0..k-1; shared weights count once per layer that reads them. */
  weightPrefix: Float64Array
  /** Per layer, bytes of the tensors alive while it runs. */
  activationBytes: Float64Array
  /** Per boundary: 1 if the model may be cut there, at clean cuts only and at any cut. 0 and N are always 1. */
  cleanCuts: Uint8Array
  anyCuts: Uint8Array
  /** `[from * resources + to]`: ms per crossing whatever its size: round trip, cost per message, the answer's return. */
  hopMs: Float64Array
  /** Same index: ms per byte. Pairs without a link have Infinity in `hopMs` and 0 here. */
  hopMsPerByte: Float64Array
  /** `none` first, then by name. */
  codecs: ChainCodec[]
  /** Largest `scaleMs` of all runners: rounding errors are relative to it. */
  scaleMs: number
}

/** ms of the stage [from, to). */
export function stageMs(runner: Runner, from: number, to: number): number {
  const ms = runner.prefixMs[to]! - runner.prefixMs[from]! + runner.enterMs[from]! + runner.exitMs[to]!
  return runner.fixedMs + Math.max(0, ms)
}
