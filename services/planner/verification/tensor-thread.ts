/**
 * Work on whole tensors: making inputs and comparing outputs. What takes a few milliseconds is done at once. Larger tensors
 * move to a thread and back without a copy; it starts when it is first needed and ends when it is not for a while.
 */
import type { TransferListItem } from 'node:worker_threads'
import type { TensorSpec } from '../../../shared/contracts/common.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { OutputDifference } from '../../../shared/contracts/verification.ts'
import { modelInputs } from '../../../shared/onnx/sample-inputs/model-inputs.ts'
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { WorkThread } from '../../../shared/platform/threads/work-thread.ts'
import { judgeOutputs } from './judge-outputs.ts'
import type { Rule } from './tolerances.ts'

/** The inputs of a structure, or the same with other sizes. */
export type WantedInputs = { inputs: readonly TensorSpec[] } & Pick<Structure, 'inputHints'>

export type TensorWork =
  | { kind: 'make'; wanted: WantedInputs; samples: readonly Tensor[]; seed: number }
  | { kind: 'judge'; expected: Tensor[]; actual: Tensor[]; rule: Rule }

export interface TensorWorkResult {
  /** The inputs that were made; the expected outputs, given back. */
  tensors: Tensor[]
  differences: OutputDifference[]
}

/** Compared, and made of random whole numbers, in at most about 10 ms; starting the thread takes longer. */
const MIN_THREAD_BYTES = 1024 * 1024
const MAX_PIECES = 64
const IDLE_MS = 10_000

export class TensorThread {
  readonly #thread = new WorkThread<TensorWork, TensorWorkResult>({
    entry: threadModule(new URL('./tensor-worker.ts', import.meta.url)),
    name: 'the thread that compares outputs',
    maxPieces: MAX_PIECES,
    busy: (waiting) => `${waiting} verifications compare outputs; deploy again soon`,
    idleMs: IDLE_MS,
  })

  /** @throws ScissionError invalidTensor for shapes with unknown dimensions. */
  async make(
    wanted: WantedInputs,
    samples: readonly Tensor[],
    seed: number,
    signal: AbortSignal,
  ): Promise<Tensor[]> {
    const work = { kind: 'make', wanted, samples, seed } as const
    const bytes = wanted.inputs.reduce((sum, spec) => sum + spec.bytes, 0)
    if (bytes < MIN_THREAD_BYTES) return workOnTensors(work).tensors
    return (await this.#thread.run(work, { signal })).tensors
  }

  /** @param expected and `actual` are moved away; `expected` comes back as `tensors`. */
  async judge(
    expected: Tensor[],
    actual: Tensor[],
    rule: Rule,
    signal: AbortSignal,
  ): Promise<TensorWorkResult> {
    const work = { kind: 'judge', expected, actual, rule } as const
    const tensors = [...expected, ...actual]
    const bytes = tensors.reduce((sum, tensor) => sum + tensor.bytes.byteLength, 0)
    if (bytes < MIN_THREAD_BYTES) return workOnTensors(work)
    return await this.#thread.run(work, { transfer: buffersOf(tensors), signal })
  }

  async close(): Promise<void> {
    await this.#thread.close()
  }
}

/** What the thread does with a piece of work, and this one with a small piece. */
export function workOnTensors(work: TensorWork): TensorWorkResult {
  if (work.kind === 'make')
    return { tensors: modelInputs(work.wanted, work.samples, work.seed), differences: [] }
  return { tensors: work.expected, differences: judgeOutputs(work.expected, work.actual, work.rule) }
}

/** Tensors of one answer are views of one buffer. */
export const buffersOf = (tensors: readonly Tensor[]): TransferListItem[] => [
  ...new Set(tensors.flatMap(({ bytes }) => (bytes.buffer instanceof ArrayBuffer ? [bytes.buffer] : []))),
]
