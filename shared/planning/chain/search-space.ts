/**
 * The space that one search covers: a chain under limits. A route is a sequence of resources with runtime options; a hop
 * hands over from one to the next. The options of a hop are pairs of a boundary and a codec, in arrays by boundary, then
 * codec. Everything is computed on first use.
 *
 * Reach: for every boundary where a stage may begin, the last boundary where it may end. Limits on time, memory and layers
 * that exclude a stage exclude all longer stages with the same begin too, so this one number says everything. It never
 * falls as the begin moves on, so two pointers find all of it in one pass. If a stage has costs of beginning and ending
 * (Runner.enterMs, exitMs), its time is taken at its minimum here, and each plan is checked again.
 */
import { MESSAGE_JSON_BYTES } from '../../contracts/resource.ts'
import { type SearchLimits, upTo } from '../limits/constraints.ts'
import { figureOf, type Figures } from '../problem/problem.ts'
import { type Chain, NO_CODEC, type RouteStop, type Runner } from './chain.ts'

export interface Route {
  /** The source first, even if it runs nothing. */
  stops: readonly RouteStop[]
  /** The stops that run a stage. */
  runners: readonly Runner[]
}

/** Watts and prices per resource of the chain; 0 if not given. */
export type ChainFigures = Record<keyof Figures, Float64Array>

export function chainFiguresOf({ resources }: Chain, given: Figures): ChainFigures {
  const byResource = (field: keyof Figures) =>
    Float64Array.from(resources, ({ name }) => figureOf(given, field, name))
  return {
    busyWatts: byResource('busyWatts'),
    idleWatts: byResource('idleWatts'),
    transmitWatts: byResource('transmitWatts'),
    pricePerSecond: byResource('pricePerSecond'),
    pricePerGb: byResource('pricePerGb'),
  }
}

const AT_INPUT = Int32Array.of(0)

/** Per option of a hop, the options [low, high) of the next hop that may follow it. */
export interface Windows {
  low: Int32Array
  high: Int32Array
}

export class SearchSpace {
  readonly chain: Chain
  readonly limits: SearchLimits
  readonly figures: ChainFigures
  /** Boundaries where the model may be cut, without 0 and N; limits on the first layers do not count here. */
  readonly cuts: Int32Array
  readonly #reach = new Map<Runner, Int32Array>()
  /** Hops that no limit thins out, shared with other searches. */
  readonly #shared: HopsByPair
  /** Hops of this search alone. */
  readonly #own: HopsByPair = new Map()
  /** By the boundaries of the hop before, those of the hop after, and the reach of a stage between. */
  readonly #windows = new Map<Int32Array, Map<Int32Array, Map<Int32Array, Windows>>>()

  constructor(chain: Chain, limits: SearchLimits, figures: ChainFigures) {
    this.chain = chain
    this.limits = limits
    this.figures = figures
    const { cuts, hops } = sharedHopsOf(chain, limits)
    this.cuts = cuts
    this.#shared = hops
  }

  /** Per boundary where a stage begins, the last boundary where it may end. */
  reachOf(runner: Runner): Int32Array {
    let reach = this.#reach.get(runner)
    if (!reach) {
      reach = reachOf(this.chain, this.limits, runner)
      this.#reach.set(runner, reach)
    }
    return reach
  }

  /** The options of a hop that may follow each option of the hop before. */
  windowsBetween(before: Hop, after: Hop): Windows {
    const reach = this.reachOf(before.to)
    let byAfter = this.#windows.get(before.boundary)
    if (!byAfter) this.#windows.set(before.boundary, (byAfter = new Map()))
    let byReach = byAfter.get(after.boundary)
    if (!byReach) byAfter.set(after.boundary, (byReach = new Map()))
    let windows = byReach.get(reach)
    if (!windows) byReach.set(reach, (windows = windowsBetween(before, after, reach)))
    return windows
  }

  hopOf(from: RouteStop, to: Runner): Hop {
    const { maxStepMs, maxUploadBytes } = this.limits
    const limited = maxStepMs < Infinity || maxUploadBytes[from.resource]! < Infinity
    const hops = limited ? this.#own : this.#shared
    let byRunner = hops.get(from)
    if (!byRunner) hops.set(from, (byRunner = new Map()))
    let hop = byRunner.get(to)
    if (!hop) {
      hop = hopOf(this.chain, this.limits, from, to, from.runner ? this.cuts : AT_INPUT)
      byRunner.set(to, hop)
    }
    return hop
  }
}

type HopsByPair = Map<RouteStop, Map<Runner, Hop>>

interface SharedHops {
  /** Boundaries where the model may be cut, without 0 and N. */
  cuts: Int32Array
  hops: HopsByPair
}

/** Kinds of queries (cuts, codecs, limit on loss) whose hops are kept with their chain; the oldest is dropped first. */
const MAX_KINDS = 2

const sharedHops = new WeakMap<Chain, Map<string, SharedHops>>()

/** Hops that no limit on bytes or steps thins out are the same in many queries. */
function sharedHopsOf(chain: Chain, { clean, codecs, maxLoss, maxMessageBytes }: SearchLimits): SharedHops {
  let kinds = sharedHops.get(chain)
  if (!kinds) sharedHops.set(chain, (kinds = new Map()))
  const key = `${clean} ${codecs.join()} ${maxLoss} ${maxMessageBytes.join()}`
  let shared = kinds.get(key)
  if (!shared) {
    const [oldest] = kinds.keys()
    if (oldest !== undefined && kinds.size >= MAX_KINDS) kinds.delete(oldest)
    shared = { cuts: cutsOf(chain, clean), hops: new Map() }
    kinds.set(key, shared)
  }
  return shared
}

function cutsOf(chain: Chain, clean: boolean): Int32Array {
  const allowed = clean ? chain.cleanCuts : chain.anyCuts
  const cuts: number[] = []
  for (let k = 1; k < chain.layers; k += 1) if (allowed[k]) cuts.push(k)
  return Int32Array.from(cuts)
}

/** ms of the stage [from, to). */
export function stageMs(runner: Runner, from: number, to: number): number {
  const ms = runner.prefixMs[to]! - runner.prefixMs[from]! + runner.enterMs[from]! + runner.exitMs[to]!
  return runner.fixedMs + Math.max(0, ms)
}

/** Costs of an option are computed on demand; arrays hold only the values that every search reads. */
export class Hop {
  readonly from: RouteStop
  readonly to: Runner
  count = 0
  /** Hops at the same boundaries may share this array. */
  boundary: Int32Array
  readonly codec: Uint8Array
  /** Latency that depends on the option: end of the stage before, encoding, step, decoding, begin of the next stage. */
  readonly latencyMs: Float64Array
  minLatencyMs = Infinity
  readonly #chain: Chain
  readonly #fixedMs: number
  readonly #msPerByte: number

  constructor(chain: Chain, from: RouteStop, to: Runner, size: number) {
    this.from = from
    this.to = to
    this.boundary = new Int32Array(size)
    this.codec = new Uint8Array(size)
    this.latencyMs = new Float64Array(size)
    this.#chain = chain
    const pair = from.resource * chain.resources.length + to.resource
    this.#fixedMs = chain.hopMs[pair]!
    this.#msPerByte = chain.hopMsPerByte[pair]!
  }

  add(boundary: number, codec: number): void {
    const at = this.count
    this.boundary[at] = boundary
    this.codec[at] = codec
    const coding = codec === NO_CODEC ? 0 : this.encodeMs(at) + this.decodeMs(at)
    const ms = this.endMs(at) + coding + this.stepMs(at) + this.beginMs(at)
    this.latencyMs[at] = ms
    if (ms < this.minLatencyMs) this.minLatencyMs = ms
    this.count = at + 1
  }

  wireBytes(option: number): number {
    return this.#chain.codecs[this.codec[option]!]!.wireBytes[this.boundary[option]!]!
  }

  loss(option: number): number {
    return this.#chain.codecs[this.codec[option]!]!.loss[this.boundary[option]!]!
  }

  encodeMs(option: number): number {
    return (
      this.#chain.boundaryBytes[this.boundary[option]!]! * this.from.encodeMsPerByte[this.codec[option]!]!
    )
  }

  decodeMs(option: number): number {
    return this.#chain.boundaryBytes[this.boundary[option]!]! * this.to.decodeMsPerByte[this.codec[option]!]!
  }

  /** Time on the wire, request direction. */
  sendMs(option: number): number {
    return this.wireBytes(option) * this.#msPerByte
  }

  /** Transfer both ways: round trip, cost per message, wire, answer. */
  stepMs(option: number): number {
    return this.#fixedMs + this.sendMs(option)
  }

  /** The part of the sender's stage time that its end decides: prefix sum and exitMs. 0 if it runs nothing. */
  endMs(option: number): number {
    const { runner } = this.from
    const k = this.boundary[option]!
    return runner ? runner.prefixMs[k]! + runner.exitMs[k]! : 0
  }

  /** The part of the receiver's stage time that its begin decides. */
  beginMs(option: number): number {
    const k = this.boundary[option]!
    return this.to.enterMs[k]! - this.to.prefixMs[k]!
  }
}

/** @param boundaries where the receiver may begin, ascending. */
function hopOf(chain: Chain, limits: SearchLimits, from: RouteStop, to: Runner, boundaries: Int32Array): Hop {
  const hop = new Hop(chain, from, to, boundaries.length * chain.codecs.length)
  const pair = from.resource * chain.resources.length + to.resource
  const maxBytes = upTo(limits.maxUploadBytes[from.resource]!)
  const maxSendMs = upTo(limits.maxStepMs) - chain.hopMs[pair]!
  const maxLoss = upTo(limits.maxLoss)
  const maxTensorBytes = limits.maxMessageBytes[to.resource]! - MESSAGE_JSON_BYTES
  // The answer comes back through the sender.
  const takesAnswer =
    chain.boundaryBytes.at(-1)! <= limits.maxMessageBytes[from.resource]! - MESSAGE_JSON_BYTES
  for (const k of takesAnswer ? boundaries : []) {
    // However they are encoded: the receiver holds them decoded too.
    if (chain.boundaryBytes[k]! > maxTensorBytes) continue
    for (let codec = 0; codec < chain.codecs.length; codec += 1) {
      if (!limits.codecs[codec]) continue
      const { wireBytes, loss } = chain.codecs[codec]!
      const wire = wireBytes[k]!
      const codable = from.encodeMsPerByte[codec]! + to.decodeMsPerByte[codec]! >= 0
      // Missing calibrations and coding speeds are NaN, and no comparison with NaN holds.
      if (wire <= maxBytes && wire * chain.hopMsPerByte[pair]! <= maxSendMs && loss[k]! <= maxLoss && codable)
        hop.add(k, codec)
    }
  }
  // If nothing was thinned out, all such hops share one array, and with it what depends on boundaries only.
  if (chain.codecs.length === 1 && hop.count === boundaries.length) hop.boundary = boundaries
  return hop
}

/** Number of codecs that may be used at a boundary, by calibration, speed and the limit on the loss of one hop. */
export function codecsAt(
  chain: Chain,
  limits: SearchLimits,
  from: RouteStop,
  to: Runner,
  boundary: number,
): number {
  let count = 1
  for (let codec = NO_CODEC + 1; codec < chain.codecs.length; codec += 1) {
    const { wireBytes, loss } = chain.codecs[codec]!
    const codable = from.encodeMsPerByte[codec]! + to.decodeMsPerByte[codec]! + wireBytes[boundary]! >= 0
    if (limits.codecs[codec] && codable && loss[boundary]! <= upTo(limits.maxLoss)) count += 1
  }
  return count
}

function windowsBetween(before: Hop, after: Hop, reach: Int32Array): Windows {
  const low = new Int32Array(before.count)
  const high = new Int32Array(before.count)
  let begin = 0
  let end = 0
  for (let option = 0; option < before.count; option += 1) {
    const from = before.boundary[option]!
    const to = reach[from]!
    while (begin < after.count && after.boundary[begin]! <= from) begin += 1
    while (end < after.count && after.boundary[end]! <= to) end += 1
    low[option] = begin
    high[option] = end
  }
  return { low, high }
}

/** Per boundary, the last boundary where a stage from there may end; the boundary itself if no layer may follow. */
function reachOf(chain: Chain, limits: SearchLimits, runner: Runner): Int32Array {
  const { layers } = chain
  const forbidden = limits.forbidden[runner.resource]
  const maxMs = upTo(Math.min(limits.maxStageMs[runner.resource]!, limits.maxStepMs)) - runner.minExtraMs
  const maxMemory = limits.maxMemoryBytes[runner.resource]!
  if (maxMs === Infinity && maxMemory === Infinity && forbidden === undefined) return unlimited(layers)
  const reach = new Int32Array(layers + 1).fill(layers)
  // Rounding of prefix sums must not exclude a stage: each plan is checked again with exact sums.
  const slackMs = chain.scaleMs * 1e-13
  const peaks = new SlidingMaximum(chain.activationBytes)
  const fits = (begin: number, layer: number) =>
    !forbidden?.[layer] &&
    runner.prefixMs[layer + 1]! - runner.prefixMs[begin]! <= maxMs + slackMs &&
    (maxMemory === Infinity ||
      chain.weightPrefix[layer + 1]! - chain.weightPrefix[begin]! + peaks.with(layer) <= maxMemory)
  let end = 0
  for (let begin = 0; begin <= layers; begin += 1) {
    if (end < begin) end = begin
    peaks.begin(begin)
    while (end < layers && fits(begin, end)) {
      peaks.add(end)
      end += 1
    }
    reach[begin] = end
  }
  return reach
}

const free = { layers: -1, reach: new Int32Array(0) }

/** Reach to the end from every boundary. The same array for every stage of the same model, so that windows are shared. */
function unlimited(layers: number): Int32Array {
  if (free.layers !== layers) {
    free.layers = layers
    free.reach = new Int32Array(layers + 1).fill(layers)
  }
  return free.reach
}

/** Maximum of one window whose bounds only move forward, by a monotonic queue. */
class SlidingMaximum {
  readonly #values: Float64Array
  readonly #queue: Int32Array
  #head = 0
  #tail = 0

  constructor(values: Float64Array) {
    this.#values = values
    this.#queue = new Int32Array(values.length)
  }

  /** Moves the begin of the window forward. */
  begin(at: number): void {
    while (this.#head < this.#tail && this.#queue[this.#head]! < at) this.#head += 1
  }

  /** The maximum if the value at `at` were in the window too. */
  with(at: number): number {
    const largest = this.#head < this.#tail ? this.#values[this.#queue[this.#head]!]! : 0
    return Math.max(largest, this.#values[at]!)
  }

  /** Appends the value at `at` to the window. */
  add(at: number): void {
    const value = this.#values[at]!
    while (this.#head < this.#tail && this.#values[this.#queue[this.#tail - 1]!]! <= value) this.#tail -= 1
    this.#queue[this.#tail] = at
    this.#tail += 1
  }
}
