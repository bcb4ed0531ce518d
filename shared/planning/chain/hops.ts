/**
 * Routes and their hops. A route is a sequence of resources with runtime options; a hop hands over from one to the next.
 * The options of a hop are pairs of a boundary and a codec, in arrays by boundary, then codec.
 *
 * Hops that no limit on bytes or steps thins out are the same in many queries, so they are kept with their chain.
 */
import { type SearchLimits, upTo } from '../limits/search-limits.ts'
import { type Chain, NO_CODEC, type Runner } from './chain.ts'

/** A resource on a route: a runner of a stage, or the source if it only sends the input on. */
export interface RouteStop {
  resource: number
  /** Undefined if it runs nothing. */
  runner: Runner | undefined
  /** Per codec: ms per byte, NaN if it cannot encode. */
  encodeMsPerByte: Float64Array
}

export interface Route {
  /** The source first, even if it runs nothing. */
  stops: readonly RouteStop[]
  /** The stops that run a stage. */
  runners: readonly Runner[]
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
export function hopOf(
  chain: Chain,
  limits: SearchLimits,
  from: RouteStop,
  to: Runner,
  boundaries: Int32Array,
): Hop {
  const hop = new Hop(chain, from, to, boundaries.length * chain.codecs.length)
  const pair = from.resource * chain.resources.length + to.resource
  const maxBytes = upTo(limits.maxUploadBytes[from.resource]!)
  const maxSendMs = upTo(limits.maxStepMs) - chain.hopMs[pair]!
  const maxLoss = upTo(limits.maxLoss)
  for (const k of boundaries)
    for (let codec = 0; codec < chain.codecs.length; codec += 1) {
      if (!limits.codecs[codec]) continue
      const { wireBytes, loss } = chain.codecs[codec]!
      const wire = wireBytes[k]!
      const codable = from.encodeMsPerByte[codec]! + to.decodeMsPerByte[codec]! >= 0
      // Missing calibrations and coding speeds are NaN, and no comparison with NaN holds.
      if (wire <= maxBytes && wire * chain.hopMsPerByte[pair]! <= maxSendMs && loss[k]! <= maxLoss && codable)
        hop.add(k, codec)
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

export type HopsByPair = Map<RouteStop, Map<Runner, Hop>>

interface SharedHops {
  /** Boundaries where the model may be cut, without 0 and N. */
  cuts: Int32Array
  hops: HopsByPair
}

/** Kinds of queries (cuts, codecs, limit on loss) whose hops are kept; the oldest is dropped first. */
const MAX_KINDS = 2

/** Stops and hops of a chain that its queries share. */
export class HopTable {
  /** The source if it runs nothing. */
  readonly idleSource: RouteStop
  readonly #chain: Chain
  readonly #stops = new Map<Runner, RouteStop>()
  readonly #kinds = new Map<string, SharedHops>()

  constructor(chain: Chain) {
    this.#chain = chain
    const encodeMsPerByte =
      chain.resources[chain.source]!.runners[0]?.encodeMsPerByte ??
      Float64Array.from(chain.codecs, (_, codec) => (codec === NO_CODEC ? 0 : NaN))
    this.idleSource = { resource: chain.source, runner: undefined, encodeMsPerByte }
  }

  stopOf(runner: Runner): RouteStop {
    let stop = this.#stops.get(runner)
    if (!stop) {
      stop = { resource: runner.resource, runner, encodeMsPerByte: runner.encodeMsPerByte }
      this.#stops.set(runner, stop)
    }
    return stop
  }

  hopsFor({ clean, codecs, maxLoss }: SearchLimits): SharedHops {
    const key = `${clean} ${codecs.join()} ${maxLoss}`
    let shared = this.#kinds.get(key)
    if (!shared) {
      const [oldest] = this.#kinds.keys()
      if (oldest !== undefined && this.#kinds.size >= MAX_KINDS) this.#kinds.delete(oldest)
      shared = { cuts: cutsOf(this.#chain, clean), hops: new Map() }
      this.#kinds.set(key, shared)
    }
    return shared
  }
}

function cutsOf(chain: Chain, clean: boolean): Int32Array {
  const allowed = clean ? chain.cleanCuts : chain.anyCuts
  const cuts: number[] = []
  for (let k = 1; k < chain.layers; k += 1) if (allowed[k]) cuts.push(k)
  return Int32Array.from(cuts)
}

const tables = new WeakMap<Chain, HopTable>()

export function hopTableOf(chain: Chain): HopTable {
  let table = tables.get(chain)
  if (!table) tables.set(chain, (table = new HopTable(chain)))
  return table
}
