/**
 * The ways to hand over from one unit to the next: an option is a boundary and a codec. Arrays over the options of a
 * pair, by boundary, then codec; made once per query and pair.
 */
import { NONE } from './chain-codecs.ts'
import type { Chain } from './compile-chain.ts'
import { type Demands, upTo } from '../limits/search-limits.ts'
import type { Unit } from './chain.ts'

/** A resource on a path: a unit that runs a stage, or the source when it only sends the input on. */
export interface Place {
  resource: number
  /** Undefined: it runs nothing. */
  unit: Unit | undefined
  /** Per codec: ms per byte, NaN where it cannot. */
  encodeMsPerByte: Float64Array
}

/** Figures of an option are worked out when asked for; only what every search reads is kept in arrays. */
export class Hop {
  readonly from: Place
  readonly to: Unit
  count = 0
  /** Hops at the same boundaries may share them. */
  boundary: Int32Array
  readonly codec: Uint8Array
  /** Latency that the option decides: end, encoding, step, decoding, begin. */
  readonly latencyMs: Float64Array
  leastLatencyMs = Infinity
  readonly #chain: Chain
  readonly #fixedMs: number
  readonly #msPerByte: number

  constructor(chain: Chain, from: Place, to: Unit, size: number) {
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
    const coding = codec === NONE ? 0 : this.encodeMs(at) + this.decodeMs(at)
    const ms = this.endMs(at) + coding + this.stepMs(at) + this.beginMs(at)
    this.latencyMs[at] = ms
    if (ms < this.leastLatencyMs) this.leastLatencyMs = ms
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

  /** There and back: round trip, cost per message, wire, answer. */
  stepMs(option: number): number {
    return this.#fixedMs + this.sendMs(option)
  }

  /** The part of the sender's stage that its end decides: prefix sum and cost of ending there. 0 when it runs nothing. */
  endMs(option: number): number {
    const { unit } = this.from
    const k = this.boundary[option]!
    return unit ? unit.prefixMs[k]! + unit.exitMs[k]! : 0
  }

  /** The part of the receiver's stage that its begin decides. */
  beginMs(option: number): number {
    const k = this.boundary[option]!
    return this.to.enterMs[k]! - this.to.prefixMs[k]!
  }
}

/** Boundaries where the model may be cut; 0 and N are not among them. */
export function cutsOf(chain: Chain, clean: boolean): Int32Array {
  const allowed = clean ? chain.cleanCuts : chain.anyCuts
  const cuts: number[] = []
  for (let k = 1; k < chain.layers; k += 1) if (allowed[k]) cuts.push(k)
  return Int32Array.from(cuts)
}

/** @param boundaries where the receiver may begin, ascending. */
export function hopOf(chain: Chain, demands: Demands, from: Place, to: Unit, boundaries: Int32Array): Hop {
  const hop = new Hop(chain, from, to, boundaries.length * chain.codecs.length)
  const pair = from.resource * chain.resources.length + to.resource
  const maxBytes = upTo(demands.maxUploadBytes[from.resource]!)
  const maxSendMs = upTo(demands.maxStepMs) - chain.hopMs[pair]!
  const maxLoss = upTo(demands.maxLoss)
  for (const k of boundaries)
    for (let codec = 0; codec < chain.codecs.length; codec += 1) {
      if (!demands.codecs[codec]) continue
      const { wireBytes, loss } = chain.codecs[codec]!
      const wire = wireBytes[k]!
      const codable = from.encodeMsPerByte[codec]! + to.decodeMsPerByte[codec]! >= 0
      // What is not calibrated or cannot be coded is NaN, and no comparison with it holds.
      if (wire <= maxBytes && wire * chain.hopMsPerByte[pair]! <= maxSendMs && loss[k]! <= maxLoss && codable)
        hop.add(k, codec)
    }
  // Nothing thinned out: what depends on boundaries only is the same for all such hops (space.ts).
  if (chain.codecs.length === 1 && hop.count === boundaries.length) hop.boundary = boundaries
  return hop
}

/** Codecs that may be used at a boundary, by calibration, speed and the loss that one hop may bring. */
export function codecsAt(chain: Chain, demands: Demands, from: Place, to: Unit, boundary: number): number {
  let count = 1
  for (let codec = NONE + 1; codec < chain.codecs.length; codec += 1) {
    const { wireBytes, loss } = chain.codecs[codec]!
    const codable = from.encodeMsPerByte[codec]! + to.decodeMsPerByte[codec]! + wireBytes[boundary]! >= 0
    if (demands.codecs[codec] && codable && loss[boundary]! <= upTo(demands.maxLoss)) count += 1
  }
  return count
}
