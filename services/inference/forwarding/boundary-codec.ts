/**
 * Encodes tensors for the next hop or for a client and decodes those that arrive: the only place of the serving path that uses
 * codecs.
 *
 * Encoding 1 MB takes milliseconds, so larger tensors are processed on a worker thread of their own: neither the main thread
 * nor an executor thread waits for it. Tensors move to the thread and back without a copy.
 *
 * A few bytes may decode to gigabytes. So a tensor is decoded only if it says that it is what the receiver takes; all tensors
 * of a request together may decode to no more than a body may have, and count in the memory of bodies until they are used.
 */
import { codecOf, type CodedTensor, declaredForm } from '../../../shared/codec/index.ts'
import type { CodecName } from '../../../shared/contracts/calibration.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { decodeTensor, encodeTensor } from '../../../shared/platform/tensor-codecs.ts'
import { hasNodeZstd } from '../../../shared/platform/zstd-libraries.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'
import { type BodyMemoryBudget, isMovable } from '../messages/buffer-memory.ts'
import { checkForm, checkNames } from '../serving/executor/check-inputs.ts'
import { type TargetTensor, tensorBytes } from '../serving/models/target.ts'

export type DeploymentHop = Deployment['hops'][number]

export interface BoundaryCodecSettings {
  /** The thread waits (slowdown − 1) × the CPU time of each tensor, to emulate a slower machine. */
  slowdown: number
  /** Maximum bytes of the decoded tensors of one request. */
  maxBytes: number
  /** Memory of the bodies being received and of the tensors decoded from them. @defaultValue unlimited */
  memory?: BodyMemoryBudget
}

/** What the thread knows. */
export type CodecThreadSettings = Pick<BoundaryCodecSettings, 'slowdown'>

export type CodecWork =
  | { kind: 'encode'; tensor: CodedTensor; codec: CodecName }
  | { kind: 'decode'; tensor: CodedTensor; maxBytes: number }

interface Processed {
  made: CodedTensor
  /** ms on the thread, including the wait that emulates a slower machine. */
  tookMs: number
}

/** The thread's answer also returns the tensor that was sent to it. */
export type CodecResult = Processed & { tensor: CodedTensor }

/** The tensors of a boundary as they are sent to the next hop. */
export interface EncodedBoundary {
  tensors: readonly CodedTensor[]
  /** Bytes of all tensors as sent. */
  wireBytes: number
  /** Undefined if no codec was used. */
  encoded?: { codec: string; encodeMs: number }
}

export interface Decoding {
  /** The tensors that the receiver takes; -1 marks an open dimension. */
  takes: readonly TargetTensor[]
  /** Bytes that a plan has for them, if that may be more than bodies usually have. */
  plannedBytes?: number
  signal?: AbortSignal | undefined
}

export interface DecodedBoundary {
  tensors: Tensor[]
  /** Undefined if no tensor was encoded. */
  decodeMs?: number
}

/** Below this size the round trip to the thread, about 0.1 ms, takes longer than the work itself. */
const MIN_THREAD_BYTES = 48 * 1024

/** Tensors that may wait for the thread; each of them occupies memory. */
const MAX_WAITING_COUNT = 256

const entry = threadModule(new URL('./codec-worker.ts', import.meta.url))

export class BoundaryCodec {
  readonly #settings: BoundaryCodecSettings
  readonly #thread: WorkThread<CodecWork, CodecResult>

  constructor(settings: BoundaryCodecSettings) {
    this.#settings = settings
    this.#thread = new WorkThread({
      entry,
      data: { slowdown: settings.slowdown } satisfies CodecThreadSettings,
      name: 'the thread that packs tensors',
      maxPieces: MAX_WAITING_COUNT,
      busy: (waiting) =>
        `${waiting} tensors wait to be packed or unpacked; send the request again in a moment`,
    })
  }

  /**
   * Encodes tensors for a hop with the codec of the plan. The given tensors stay usable, because a failed hop is tried again
   * elsewhere. @param next the hop that receives the tensors. @throws ScissionError overloaded, cancelled.
   */
  async encode(
    tensors: readonly Tensor[],
    next: DeploymentHop,
    signal?: AbortSignal,
  ): Promise<EncodedBoundary> {
    const { codec = 'none' } = next
    if (codec === 'none') return { tensors, wireBytes: tensorBytes(tensors) }
    const { made, tookMs } = await this.#all(
      tensors.map((tensor) => ({ kind: 'encode', tensor, codec })),
      signal,
    )
    return { tensors: made, wireBytes: tensorBytes(made), encoded: { codec, encodeMs: tookMs } }
  }

  /** Encodes one tensor of an answer; the given tensor stays usable. @throws ScissionError overloaded, cancelled. */
  async encodeOne(tensor: Tensor, codec: CodecName, signal?: AbortSignal): Promise<CodedTensor> {
    return (await this.#one({ kind: 'encode', tensor, codec }, signal)).made
  }

  /**
   * Decodes every tensor that names a codec, whatever the plan says (it may have changed since the tensor was sent), and
   * passes all of them to `use`.
   * @throws ScissionError invalidTensor, payloadTooLarge, overloaded, cancelled, unsupportedEncoding; what `use` throws.
   */
  async decode<T>(
    tensors: readonly CodedTensor[],
    { takes, plannedBytes = 0, signal }: Decoding,
    use: (arrived: DecodedBoundary) => Promise<T>,
  ): Promise<T> {
    if (tensors.every((tensor) => codecOf(tensor) === undefined)) return use({ tensors: [...tensors] })
    const bytes = decodedBytes(tensors, takes)
    const { memory } = this.#settings
    const maxBytes = Math.max(this.#settings.maxBytes, plannedBytes)
    if (bytes > maxBytes) throw tooLarge(bytes, maxBytes)
    memory?.reserve(bytes, 0)
    try {
      const { made, tookMs } = await this.#all(
        tensors.map((tensor) => ({ kind: 'decode', tensor, maxBytes })),
        signal,
      )
      return await use({ tensors: made, decodeMs: tookMs })
    } finally {
      memory?.release(bytes)
    }
  }

  /** Starts the thread, so that the first tensor of a deployment does not wait for that. */
  async warm(): Promise<void> {
    if (this.#thread.running) return
    const tensor: CodedTensor = { name: 'warm', datatype: 'FP32', shape: [64], bytes: new Uint8Array(256) }
    await this.#onThread({ kind: 'encode', tensor, codec: 'q8-zstd' })
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }

  async #all(
    works: readonly CodecWork[],
    signal: AbortSignal | undefined,
  ): Promise<{ made: CodedTensor[]; tookMs: number }> {
    const done = await Promise.all(works.map(async (work) => this.#one(work, signal)))
    return { made: done.map(({ made }) => made), tookMs: done.reduce((sum, { tookMs }) => sum + tookMs, 0) }
  }

  #one(work: CodecWork, signal: AbortSignal | undefined): Processed | Promise<Processed> {
    const untouched =
      work.kind === 'decode' ? codecOf(work.tensor) === undefined : work.tensor.bytes.byteLength === 0
    if (untouched) return { made: work.tensor, tookMs: 0 }
    // The wait of an emulated machine would stop all requests on this thread.
    if (this.#settings.slowdown > 1 || largestBytes(work) >= MIN_THREAD_BYTES)
      return this.#onThread(work, signal)
    // A copy: the tensor keeps its bytes, as it does where they are decoded here.
    if (isForPackage(work))
      return this.#onThread({ ...work, tensor: { ...work.tensor, bytes: work.tensor.bytes.slice() } }, signal)
    const startedAt = performance.now()
    return { made: runCodec(work), tookMs: performance.now() - startedAt }
  }

  /** While this runs, the tensor's bytes are on the thread; afterwards they are back in the tensor, in another buffer. */
  async #onThread(work: CodecWork, signal?: AbortSignal): Promise<Processed> {
    const bytes = movable(work.tensor.bytes)
    const sent = { ...work, tensor: { ...work.tensor, bytes } }
    const { tensor, made, tookMs } = await this.#thread.run(sent, { transfer: [bytes.buffer], signal })
    work.tensor.bytes = tensor.bytes
    return { made, tookMs }
  }
}

/** What a peer has sent and a foreign native library decodes never runs beside the requests of others, however small it is. */
const isForPackage = ({ kind, tensor }: CodecWork) =>
  kind === 'decode' && !hasNodeZstd && codecOf(tensor)?.includes('zstd') === true

export function runCodec(work: CodecWork): CodedTensor {
  if (work.kind === 'encode') return encodeTensor(work.tensor, work.codec)
  return decodeTensor(work.tensor, work.maxBytes)
}

function largestBytes({ kind, tensor }: CodecWork): number {
  const { byteLength } = tensor.bytes
  return kind === 'encode' ? byteLength : Math.max(byteLength, declaredForm(tensor)?.byteCount ?? 0)
}

/** The bytes that encoded tensors take once they are decoded. @throws ScissionError invalidTensor if one is not taken. */
function decodedBytes(tensors: readonly CodedTensor[], takes: readonly TargetTensor[]): number {
  const encoded = tensors.filter((tensor) => codecOf(tensor) !== undefined)
  const specs = checkNames({ inputs: takes }, encoded)
  let bytes = 0
  for (const tensor of encoded) {
    const declared = declaredForm(tensor)
    const spec = specs.get(tensor.name)
    if (!declared || !spec) continue
    checkForm(spec, declared)
    bytes += declared.byteCount
  }
  return bytes
}

const tooLarge = (bytes: number, maxBytes: number) =>
  new ScissionError(
    'payloadTooLarge',
    `the inputs would decode to ${bytes} bytes, the limit is ${maxBytes} (SCISSION_MAX_BODY_BYTES)`,
    { bytes, maxBytes },
  )

/** The bytes themselves if they fill a buffer that can move, otherwise a copy. */
function movable(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes
  return isMovable(buffer) && buffer.byteLength === bytes.byteLength
    ? new Uint8Array(buffer)
    : new Uint8Array(bytes)
}
