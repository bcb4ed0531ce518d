/**
 * The pool of threads that run layer ranges. A service computes nowhere else.
 *
 * A stage is first loaded on one thread. A run goes to the thread with the fewest pending commands, preferably to one that
 * has the stage; so a second thread loads the stage only if two requests meet. A thread that dies is replaced and loads its
 * sessions again with the next run. Tensors move to the threads without a copy.
 */
import type { RangeManifest } from '../../../../shared/contracts/range-manifest.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { checkInputs } from './check-inputs.ts'
import { monotonicMs } from './cpu-time.ts'
import { ExecutorThread } from './executor-thread.ts'
import type { RunReport, SessionSource } from './worker.ts'

export interface ExecutorOptions {
  /** Number of threads. */
  executors: number
  /** Runs that may wait per thread, in addition to the running one. */
  queueLimit: number
  /** The thread waits (slowdown − 1) × the CPU time of each run. @defaultValue 1 */
  slowdown?: number
  /** JavaScript heap of a thread, which holds strings but neither tensors nor weights. @defaultValue 512 MiB */
  heapBytes?: number
  /** ms that a run may go on after its deadline, before its thread is replaced. @defaultValue 5000 */
  overrunMs?: number
}

export interface StageSource {
  /** The sub-model's file; null if the range contains no layer. */
  path: string | null
  manifest: RangeManifest
  options: RuntimeOptions
}

/** A layer range that is ready to run. Every `load` needs one `unload`. */
export interface LoadedStage extends StageSource {
  readonly key: string
}

export interface RunOptions {
  /** If aborted while queued, the run is never computed; while computing, its result is dropped. */
  signal?: AbortSignal | undefined
  /** ms of performance.now() after which the answer is useless. */
  deadline?: number | undefined
}

export interface RunResult extends Pick<RunReport, 'computeMs' | 'cpuMs' | 'waitedMs'> {
  /** The tensors of boundary `to`, in the manifest's order. Each owns its buffer, unless it passed through. */
  outputs: Tensor[]
  /** ms from the call of `run` to the start of the computation. */
  queueMs: number
  /** The same object for all requests that shared a run; then the times are of the whole batch. */
  batch?: SharedRun
}

/** A run of several items at the same time. */
export interface SharedRun {
  size: number
}

export interface ExecutorStats {
  threads: { stages: number; queued: number; running: boolean; restarts: number }[]
  stages: { key: string; references: number; threads: number }[]
}

const MIB = 1024 * 1024
/** A run that is nearly done is not worth a new thread, which loads its sessions again. */
const OVERRUN_MS = 5000

interface Entry {
  stage: LoadedStage
  references: number
  loading: Promise<void>
  /** Names of the sub-model's inputs, known after it is loaded. */
  consumed: ReadonlySet<string>
}

export class Executor {
  readonly #threads: ExecutorThread[]
  readonly #queueLimit: number
  readonly #entries = new Map<string, Entry>()

  constructor({ executors, queueLimit, ...given }: ExecutorOptions) {
    const { slowdown = 1, heapBytes = 512 * MIB, overrunMs = OVERRUN_MS } = given
    this.#queueLimit = queueLimit
    const settings = { slowdown, heapBytes, overrunMs }
    this.#threads = Array.from({ length: executors }, () => new ExecutorThread(settings))
  }

  /**
   * Loads a stage. Loading the same key again shares the session.
   * @param key identifies content and options: sources with equal keys must be equal.
   * @throws ScissionError invalidModel if ONNX Runtime cannot load it.
   */
  async load(key: string, source: StageSource): Promise<LoadedStage> {
    const entry = this.#entries.get(key) ?? this.#add(key, source)
    entry.references += 1
    try {
      await entry.loading
      return entry.stage
    } catch (error) {
      if (this.#entries.get(key) === entry) this.#entries.delete(key)
      throw error
    }
  }

  /**
   * Runs a stage once and checks its inputs. The executor takes over the tensors' buffers: most are moved and become empty.
   * @param inputs the tensors of boundary `from`, in any order.
   * @throws ScissionError invalidTensor, overloaded (the queue is full), cancelled, deadlineExceeded, notReady (the stage
   * was unloaded), internal (ONNX Runtime failed, or the thread died).
   */
  async run(stage: LoadedStage, inputs: readonly Tensor[], options: RunOptions = {}): Promise<RunResult> {
    const calledAtMs = monotonicMs()
    const entry = this.#entries.get(stage.key)
    if (entry?.stage !== stage) throw new ScissionError('notReady', `stage ${stage.key} is not loaded`)
    checkInputs(stage.manifest, inputs)
    refuseIfTooLate(stage, options)
    const source = sessionSource(stage)
    if (!source) return { outputs: inOrder(stage, inputs), computeMs: 0, cpuMs: 0, queueMs: 0, waitedMs: 0 }
    const thread = this.#choose(stage.key)
    if (thread.waitingRuns >= this.#queueLimit) throw this.#refuse(thread.waitingRuns)
    const given = { inputs, consumed: entry.consumed, passThrough: new Set(stage.manifest.passThrough) }
    const report = await thread.run(source, given, options)
    const { outputs, startedAtMs, computeMs, cpuMs, waitedMs } = report
    const queueMs = Math.max(0, startedAtMs - calledAtMs)
    return { outputs: inOrder(stage, outputs), computeMs, cpuMs, queueMs, waitedMs }
  }

  /** Undoes one `load`. The last one frees the sessions, after the runs queued before it. */
  async unload(stage: LoadedStage): Promise<void> {
    const entry = this.#entries.get(stage.key)
    if (entry?.stage !== stage) return
    entry.references -= 1
    if (entry.references > 0) return
    this.#entries.delete(stage.key)
    const holders = this.#threads.filter((thread) => thread.held.has(stage.key))
    await Promise.all(holders.map((thread) => thread.unload(stage.key)))
  }

  stats(): ExecutorStats {
    return {
      threads: this.#threads.map((thread) => ({
        stages: thread.held.size,
        queued: thread.waitingRuns,
        running: thread.running,
        restarts: thread.restarts,
      })),
      stages: [...this.#entries.values()].map(({ stage, references }) => ({
        key: stage.key,
        references,
        threads: this.#threads.filter((thread) => thread.held.has(stage.key)).length,
      })),
    }
  }

  /** Waits for running computations; waiting runs fail with notReady. */
  async close(): Promise<void> {
    await Promise.all(this.#threads.map((thread) => thread.close()))
    this.#entries.clear()
  }

  #add(key: string, source: StageSource): Entry {
    const stage = { key, ...source }
    const entry: Entry = { stage, references: 0, loading: Promise.resolve(), consumed: new Set() }
    const session = sessionSource(stage)
    if (session) entry.loading = this.#loadSession(entry, session)
    this.#entries.set(key, entry)
    return entry
  }

  async #loadSession(entry: Entry, source: SessionSource): Promise<void> {
    entry.consumed = new Set(await this.#choose(source.key).load(source))
  }

  /** The thread with the fewest pending commands; then one that has the stage; then the one with the fewest stages. */
  #choose(key: string): ExecutorThread {
    const cost = (thread: ExecutorThread) => [thread.pending, thread.held.has(key) ? 0 : 1, thread.held.size]
    const [first] = this.#threads.toSorted((a, b) => {
      const [left, right] = [cost(a), cost(b)]
      return left.map((part, index) => part - (right[index] ?? 0)).find((gap) => gap !== 0) ?? 0
    })
    if (first === undefined) throw new ScissionError('internal', 'an executor needs at least one thread')
    return first
  }

  #refuse(waiting: number): ScissionError {
    return new ScissionError(
      'overloaded',
      `${waiting} requests are waiting already, the limit is ${this.#queueLimit} per executor; retry later`,
      { waiting, limit: this.#queueLimit },
    )
  }
}

/** Undefined if the range contains no layer. */
function sessionSource({ key, path, options, manifest }: LoadedStage): SessionSource | undefined {
  if (path === null) return undefined
  return { key, path, options, varying: manifest.inputs.some(({ shape }) => shape.includes(-1)) }
}

function refuseIfTooLate(stage: LoadedStage, { signal, deadline }: RunOptions): void {
  if (signal?.aborted) throw new ScissionError('cancelled', `running ${stage.key}: the caller is gone`)
  if (deadline !== undefined && deadline <= performance.now()) {
    throw new ScissionError('deadlineExceeded', `running ${stage.key}: its deadline has passed already`)
  }
}

function inOrder(stage: LoadedStage, tensors: readonly Tensor[]): Tensor[] {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]))
  return stage.manifest.outputs.map(({ name }) => {
    const tensor = byName.get(name)
    if (tensor === undefined) {
      throw new ScissionError('internal', `stage ${stage.key} made no tensor "${name}"`, { tensor: name })
    }
    return tensor
  })
}
