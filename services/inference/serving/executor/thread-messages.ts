/** What the main thread and an executor thread say to each other. Buffers travel by transfer. */
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import type { ErrorCode } from '../../../../shared/platform/errors.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'

/** Everything a thread needs to create the session, so that a thread that has lost it can do so again. */
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
  /** Names of the sub-model's own inputs: fewer than the boundary's where tensors pass through. */
  inputNames: string[]
}

export interface RunReport {
  /** The session's outputs, and those inputs that were asked back. */
  outputs: Tensor[]
  /** The other inputs' buffers, for whoever needs some. */
  spare: ArrayBuffer[]
  /** process.hrtime in ms, one clock for all threads of a process. */
  startedAtMs: number
  computeMs: number
  cpuMs: number
  waitedMs: number
}

export type Report =
  | { type: 'loaded'; id: number; result: LoadReport }
  | { type: 'ran'; id: number; result: RunReport }
  | { type: 'unloaded'; id: number }
  /** Not begun, because its flag was set. */
  | { type: 'skipped'; id: number }
  | { type: 'failed'; id: number; code: ErrorCode; message: string; details?: Record<string, unknown> }

/** How a thread is set up. */
export interface ThreadSettings {
  /** The thread waits (slowdown − 1) × the CPU time of each run. */
  slowdown: number
  /** Limit of its JavaScript heap. */
  heapBytes: number
}

export interface WorkerSettings extends Pick<ThreadSettings, 'slowdown'> {
  /** Shared memory: the flag at `id % length` is set when nobody wants the result of command `id` any more. */
  skips: Int32Array
}

/** Monotonic milliseconds, comparable between the threads of one process (performance.now is not). */
export function monotonicMs(): number {
  const [seconds, nanoseconds] = process.hrtime()
  return seconds * 1000 + nanoseconds / 1e6
}
