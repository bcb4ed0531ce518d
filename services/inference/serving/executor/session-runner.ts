/**
 * Holds sessions and runs them, on an executor thread (worker.ts) or in the process of a stage (process-worker.ts).
 *
 * `session.run` blocks its thread during the whole run, and a session cannot leave the thread that created it. So sessions
 * stay here, and tensors come and go. The only state is the sessions, which the next command can create again.
 */
import fs from 'node:fs'
import type { InferenceSession, Tensor as OrtTensor } from 'onnxruntime-node'
import { coerceError, type ErrorCode, ScissionError } from '../../../../shared/platform/errors.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { type CpuTimer, cpuTimer, monotonicMs, SlowDown } from './cpu-time.ts'
import { fromOrt, toOrt } from '../../../../shared/onnx/runtime/ort-tensor.ts'
import { holdsByteStrings } from '../../../../shared/onnx/wire/byte-strings.ts'
import { createSession } from './ort-session.ts'
import { runError } from './run-error.ts'

/** Everything that is needed to create a session, sent with every command, so that a new thread can create it too. */
export interface SessionSource {
  key: string
  path: string
  options: RuntimeOptions
  /** True if the shapes of its inputs vary. */
  varying: boolean
}

export interface RunReport {
  /** The session's outputs, and the inputs that the command asked to return. */
  outputs: Tensor[]
  /** Buffers of the other inputs, to be reused. */
  spare: ArrayBuffer[]
  /** `monotonicMs` at the start of the computation. */
  startedAtMs: number
  /** Wall time in ONNX Runtime, in ms. */
  computeMs: number
  /** CPU time of the run, in ms. */
  cpuMs: number
  /** ms waited to emulate a slower machine. */
  waitedMs: number
}

/** A command that failed, as it crosses to another thread or process. */
export interface Failure {
  code: ErrorCode
  message: string
  details?: Record<string, unknown>
}

interface Loaded {
  session: InferenceSession
  timer: CpuTimer
  threads: number
  /** Whether its file has strings that are not UTF-8. */
  holdsBytes: () => boolean
}

export class SessionRunner {
  readonly #sessions = new Map<string, Loaded>()
  readonly #timers = new Map<boolean, CpuTimer>()
  readonly #slowDown: SlowDown

  /** @param slowdown it waits (slowdown − 1) × the CPU time of each run. */
  constructor(slowdown: number) {
    this.#slowDown = new SlowDown(slowdown)
  }

  /** Creates the session, unless it is here. @returns the names of its inputs. @throws ScissionError invalidModel. */
  async load(source: SessionSource): Promise<string[]> {
    const { session } = await this.#sessionOf(source)
    return [...session.inputNames]
  }

  async unload(key: string): Promise<void> {
    const loaded = this.#sessions.get(key)
    this.#sessions.delete(key)
    await loaded?.session.release()
  }

  /**
   * @param returned names of inputs to return with the outputs.
   * @throws ScissionError as `runError`; invalidModel if the session has to be created and cannot be.
   */
  async run(
    source: SessionSource,
    inputs: readonly Tensor[],
    returned: readonly string[],
  ): Promise<RunReport> {
    const { session, timer, threads, holdsBytes } = await this.#sessionOf(source)
    const taken = inputs.filter((input) => session.inputNames.includes(input.name))
    const feeds = Object.fromEntries(taken.map((input) => [input.name, toOrt(input)]))
    const cpuSinceMs = timer()
    const startedAtMs = monotonicMs()
    const made = await session.run(feeds)
    const computeMs = monotonicMs() - startedAtMs
    const cpuMs = cpuSinceMs()
    const outputs = session.outputNames.map((name) => fromOrt(name, made[name] as OrtTensor, holdsBytes))
    const asked = new Set(returned)
    outputs.push(...inputs.filter((input) => asked.has(input.name)))
    const spare = spareOf(inputs, outputs)
    const waitedMs = this.#slowDown.wait(threads > 1 ? Math.min(cpuMs, computeMs) : cpuMs)
    return { outputs, spare, startedAtMs, computeMs, cpuMs, waitedMs }
  }

  async #sessionOf({ key, path, options, varying }: SessionSource): Promise<Loaded> {
    const held = this.#sessions.get(key)
    if (held !== undefined) return held
    const session = await createSession(path, options, varying)
    let known: boolean | undefined
    const holdsBytes = () => (known ??= holdsByteStrings(fs.readFileSync(path)))
    const loaded = { session, timer: this.#timerOf(options.threads), threads: options.threads, holdsBytes }
    this.#sessions.set(key, loaded)
    return loaded
  }

  #timerOf(threads: number): CpuTimer {
    const several = threads > 1
    const timer = this.#timers.get(several) ?? cpuTimer(threads)
    this.#timers.set(several, timer)
    return timer
  }
}

/** What is reported of a command that threw. @param varied the inputs of a run, if their shapes vary. */
export function failureOf(thrown: unknown, varied: readonly Tensor[] | undefined): Failure {
  const error = thrown instanceof ScissionError ? thrown : runError(coerceError(thrown), varied)
  const { code, message, details } = error
  return { code, message, ...(details && { details }) }
}

export function buffersOf(tensors: readonly Tensor[]): ArrayBuffer[] {
  return [...new Set(tensors.map((tensor) => tensor.bytes.buffer as ArrayBuffer))]
}

/** Buffers of inputs that are not returned as tensors. Freeing them on this thread would take computing time. */
function spareOf(inputs: readonly Tensor[], outputs: readonly Tensor[]): ArrayBuffer[] {
  const kept = new Set(buffersOf(outputs))
  return buffersOf(inputs).filter((buffer) => !kept.has(buffer) && buffer.byteLength > 0)
}
