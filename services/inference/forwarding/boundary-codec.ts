/**
 * What happens to the tensors of a boundary between two hops: the one place where a codec comes in. `outgoing` is
 * called once per request, whichever peer takes it in the end; `incoming` before the stage runs.
 */
import { codecOf, type CodedTensor } from '../../../shared/codec/index.ts'
import { decodeTensor, encodeTensor } from '../../../shared/platform/tensor-codecs.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { tensorBytes } from '../serving/models/hop-report.ts'
import { CodecThread, type CodecThreadSettings, type CodecWork } from './codec-thread.ts'

/** A tensor as it travels, with what its receiver must know of it. */
export type WireTensor = CodedTensor

export type DeploymentHop = Deployment['hops'][number]

export interface WireSettings extends CodecThreadSettings {
  /** Most bytes that a decoded tensor may have. */
  maxBytes: number
}

export interface Outgoing {
  tensors: readonly WireTensor[]
  /** Tensor bytes on the wire. */
  wireBytes: number
  /** Absent when nothing was encoded. */
  encoded?: { codec: string; encodeMs: number }
}

export interface Arrived {
  tensors: Tensor[]
  /** Absent when nothing was encoded. */
  decodeMs?: number
}

/** Below this the thread's own cost, about 0.1 ms there and back, is the larger one. */
const SMALL_BYTES = 48 * 1024

export class Wire {
  readonly #settings: WireSettings
  readonly #thread: CodecThread

  constructor(settings: WireSettings) {
    this.#settings = settings
    this.#thread = new CodecThread(settings)
  }

  /** @param next the hop that the tensors go to. The tensors themselves stay usable: a failed hop is tried elsewhere. */
  async outgoing(tensors: readonly Tensor[], next: DeploymentHop, signal?: AbortSignal): Promise<Outgoing> {
    const { codec = 'none' } = next
    if (codec === 'none') return { tensors, wireBytes: tensorBytes(tensors) }
    const { made, tookMs } = await this.#all(
      tensors.map((tensor) => ({ kind: 'encode', tensor, codec })),
      signal,
    )
    return { tensors: made, wireBytes: tensorBytes(made), encoded: { codec, encodeMs: tookMs } }
  }

  /**
   * Decodes what says of itself that it is encoded, with whatever codec: the plan may have changed since it was sent.
   * Hop 0 takes a client's tensors, which are never encoded.
   * @throws ScissionError unsupportedEncoding, invalidTensor, payloadTooLarge.
   */
  async incoming(tensors: readonly WireTensor[], signal?: AbortSignal): Promise<Arrived> {
    if (tensors.every((tensor) => codecOf(tensor) === undefined)) return { tensors: [...tensors] }
    const { maxBytes } = this.#settings
    const { made, tookMs } = await this.#all(
      tensors.map((tensor) => ({ kind: 'decode', tensor, maxBytes })),
      signal,
    )
    return { tensors: made, decodeMs: tookMs }
  }

  /** For a deployment that will need codecs. */
  async warm(): Promise<void> {
    await this.#thread.warm()
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }

  async #all(
    works: readonly CodecWork[],
    signal: AbortSignal | undefined,
  ): Promise<{ made: CodedTensor[]; tookMs: number }> {
    const coded = await Promise.all(works.map(async (work) => this.#one(work, signal)))
    return { made: coded.map(({ made }) => made), tookMs: coded.reduce((sum, { tookMs }) => sum + tookMs, 0) }
  }

  #one(
    work: CodecWork,
    signal: AbortSignal | undefined,
  ): { made: CodedTensor; tookMs: number } | ReturnType<CodecThread['run']> {
    const untouched = work.tensor.bytes.byteLength === 0 || (work.kind === 'decode' && !codecOf(work.tensor))
    if (untouched) return { made: work.tensor, tookMs: 0 }
    // An emulated machine waits, which only the thread can do without stopping all requests.
    if (this.#settings.slowdown > 1 || sizeOf(work) >= SMALL_BYTES) return this.#thread.run(work, signal)
    const startedAt = performance.now()
    const made =
      work.kind === 'encode'
        ? encodeTensor(work.tensor, work.codec)
        : decodeTensor(work.tensor, work.maxBytes)
    return { made, tookMs: performance.now() - startedAt }
  }
}

/** What is packed small may be large: 4-bit codes of a map that is half zeros. */
const GROWTH = 16

function sizeOf({ kind, tensor }: CodecWork): number {
  return kind === 'encode' ? tensor.bytes.byteLength : tensor.bytes.byteLength * GROWTH
}
