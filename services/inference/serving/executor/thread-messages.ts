/** Messages between the main thread and an executor thread. Buffers are transferred, not copied. */
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import type { ErrorCode } from '../../../../shared/platform/errors.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'

/** Everything that a thread needs to create a session, sent with every command, so that a new thread can create it too. */
export interface SessionSource {
  key: string
  path: string
  options: RuntimeOptions
}

export type Command =
  | ({ type: 'load'; id: number } & SessionSource)
  | ({ type: 'run'; id: number; inputs: Tensor[]; returned: string[] } & SessionSource)
  | { type: 'unload'; id: number; key: string }

export interface LoadReport {
  /** Names of the sub-model's inputs. The boundary has more if some tensors pass through. */
  inputNames: string[]
}

export interface RunReport {
  /** The session's outputs, and the inputs that the command asked to return. */
  outputs: Tensor[]
  /** Buffers of the other inputs, to be reused. */
  spare: ArrayBuffer[]
  /** `monotonicMs` at the start of the computation. */
  startedAtMs: number
  computeMs: number
  cpuMs: number
  waitedMs: number
}

export type Report =
  | { type: 'loaded'; id: number; result: LoadReport }
  | { type: 'ran'; id: number; result: RunReport }
  | { type: 'unloaded'; id: number }
  /** The command was not begun, because its flag was set. */
  | { type: 'skipped'; id: number }
  | { type: 'failed'; id: number; code: ErrorCode; message: string; details?: Record<string, unknown> }

/** Settings of a thread. */
export interface ThreadSettings {
  /** The thread waits (slowdown − 1) × the CPU time of each run. */
  slowdown: number
  /** Maximum size of the thread's JavaScript heap. */
  heapBytes: number
}

export interface WorkerSettings extends Pick<ThreadSettings, 'slowdown'> {
  /** Shared memory: the flag at `id % length` is set if the result of command `id` is no longer needed. */
  skips: Int32Array
}

/** Monotonic time in ms, comparable between the threads of one process, which performance.now is not. */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}
