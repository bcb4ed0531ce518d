/**
 * A thread for codecs: packing a megabyte takes milliseconds, which neither requests that wait for an answer nor an
 * executor thread with the next run have to spare. Tensors move there and back, they are not copied.
 */
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import type { CodedTensor } from '../../../shared/codec/index.ts'
import type { CodecName } from '../../../shared/contracts/calibration.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'

export interface CodecThreadSettings {
  /** The thread waits (slowdown - 1) times the CPU time of each tensor. */
  slowdown: number
}

export type CodecWork =
  | { kind: 'encode'; tensor: CodedTensor; codec: CodecName }
  | { kind: 'decode'; tensor: CodedTensor; maxBytes: number }

export interface Coded {
  made: CodedTensor
  /** In the thread, the wait of an emulated machine included. */
  tookMs: number
}
/** The tensor that was sent comes back with what was made of it. */
export type CodecResult = Coded & { tensor: CodedTensor }

/** Tensors that wait: each is held in memory meanwhile. */
const MOST_WAITING = 256

const entry = threadModule(new URL('./codec-worker.ts', import.meta.url))

export class CodecThread {
  readonly #thread: WorkThread<CodecWork, CodecResult>

  constructor(settings: CodecThreadSettings) {
    this.#thread = new WorkThread({
      entry,
      data: settings,
      name: 'the thread that packs tensors',
      maxPieces: MOST_WAITING,
      busy: (waiting) =>
        `${waiting} tensors wait to be packed or unpacked; send the request again in a moment`,
    })
  }

  /**
   * Until this settles the tensor's bytes are away; then they are back in it, in a buffer of their own.
   * @throws ScissionError as encodeTensor and decodeTensor; overloaded; cancelled; internal when the thread dies.
   */
  async run(work: CodecWork, signal?: AbortSignal): Promise<Coded> {
    const bytes = movable(work.tensor.bytes)
    const sent = { ...work, tensor: { ...work.tensor, bytes } }
    const { tensor, made, tookMs } = await this.#thread.run(sent, { transfer: [bytes.buffer], signal })
    work.tensor.bytes = tensor.bytes
    return { made, tookMs }
  }

  /** Starts the thread, so that the first tensor does not wait for that. */
  async warm(): Promise<void> {
    if (this.#thread.running) return
    const tensor: CodedTensor = { name: 'warm', datatype: 'FP32', shape: [64], bytes: new Uint8Array(256) }
    await this.run({ kind: 'encode', tensor, codec: 'q8-zstd' })
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }
}

/** The bytes themselves when they fill their buffer and it can move; else a copy. */
function movable(bytes: Uint8Array): Uint8Array<ArrayBuffer> {
  const { buffer } = bytes
  // Node marks the buffer of its pool as one that cannot move.
  const whole = buffer instanceof ArrayBuffer && buffer.byteLength === bytes.byteLength
  return whole && buffer.byteLength !== Buffer.poolSize ? new Uint8Array(buffer) : new Uint8Array(bytes)
}
