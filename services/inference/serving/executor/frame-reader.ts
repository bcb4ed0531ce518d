/** Puts together the frames that come from the process of a stage: bytes of a tensor are copied once, to where they stay. */
import { z } from 'zod'
import { DATATYPES } from '../../../../shared/contracts/common.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { ERROR_STATUS, type ErrorCode } from '../../../../shared/platform/errors.ts'
import { checkJson } from '../../../../shared/platform/outside-input.ts'
import { LENGTH_BYTES, MAX_HEAD_BYTES, type ProcessReport, sumOfBytes } from './process-frames.ts'

const count = z.number().int().nonnegative()
const ms = z.number()
const none = z.tuple([])
const SentTensor = z.object({
  name: z.string(),
  datatype: z.enum(DATATYPES),
  shape: z.array(count),
  bytes: count,
})
const Report = z.discriminatedUnion('type', [
  z.object({ type: z.literal('loaded'), inputNames: z.array(z.string()), tensors: none }),
  z.object({
    type: z.literal('ran'),
    tensors: z.array(SentTensor),
    startedAtMs: ms,
    computeMs: ms,
    cpuMs: ms,
    waitedMs: ms,
  }),
  z.object({ type: z.literal('tooLarge'), bytes: count, tensors: none }),
  z.object({
    type: z.literal('failed'),
    tensors: none,
    code: z.custom<ErrorCode>((code) => typeof code === 'string' && Object.hasOwn(ERROR_STATUS, code)),
    message: z.string(),
    details: z.record(z.string(), z.unknown()).optional(),
  }),
]) satisfies z.ZodType<ProcessReport>

/** A report, and the tensors that came with it. */
export interface ReceivedFrame {
  report: ProcessReport
  tensors: Tensor[]
}

export class FrameReader {
  readonly #onFrame: (frame: ReceivedFrame) => void
  /** Filled next, from `#at` on. */
  #target = new Uint8Array(LENGTH_BYTES)
  #at = 0
  #head: ProcessReport | undefined
  #readsLength = true
  #tensors: Uint8Array[] = []
  /** Most bytes of the tensors of a frame. */
  maxBytes = 0

  constructor(onFrame: (frame: ReceivedFrame) => void) {
    this.#onFrame = onFrame
  }

  /** @throws Error if what came is no frame, or larger than it may be. */
  take(chunk: Uint8Array): void {
    let from = 0
    while (from < chunk.byteLength) {
      const part = chunk.subarray(from, from + this.#target.byteLength - this.#at)
      this.#target.set(part, this.#at)
      this.#at += part.byteLength
      from += part.byteLength
      if (this.#at === this.#target.byteLength) this.#filled()
    }
  }

  #filled(): void {
    if (this.#head) this.#tensors.push(this.#target)
    else if (this.#readsLength) return this.#fillHead()
    else this.#head = this.#parse(this.#target)
    this.#fillTensor(this.#head)
  }

  #fillHead(): void {
    const length = new DataView(this.#target.buffer).getUint32(0, true)
    if (length === 0 || length > MAX_HEAD_BYTES) throw new Error(`a head of ${length} bytes`)
    this.#readsLength = false
    this.#fill(length)
  }

  #parse(bytes: Uint8Array): ProcessReport {
    const { value, fault } = checkJson(Report, new TextDecoder().decode(bytes))
    if (fault !== undefined) throw new Error(fault)
    const sum = sumOfBytes(value.tensors)
    if (sum > this.maxBytes)
      throw new Error(`${sum} bytes of tensors, at most ${this.maxBytes} were asked for`)
    return value
  }

  /** The next tensor that has bytes, or the end of the frame. */
  #fillTensor(head: ProcessReport): void {
    for (;;) {
      const next = head.tensors[this.#tensors.length]
      if (!next) return this.#end(head)
      if (next.bytes > 0) return this.#fill(next.bytes)
      this.#tensors.push(new Uint8Array())
    }
  }

  #end(head: ProcessReport): void {
    const tensors = head.tensors.map((sent, place) => ({
      ...sent,
      bytes: this.#tensors[place] ?? new Uint8Array(),
    }))
    this.#head = undefined
    this.#tensors = []
    this.#readsLength = true
    this.#fill(LENGTH_BYTES)
    this.#onFrame({ report: head, tensors })
  }

  #fill(bytes: number): void {
    this.#target = new Uint8Array(bytes)
    this.#at = 0
  }
}
