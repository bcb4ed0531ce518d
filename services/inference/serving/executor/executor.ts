/**
 * Where layer ranges run. A service computes nowhere else.
 *
 *   shared threads       stages that are loaded in a moment: a run goes to the thread with the fewest pending commands
 *                        (shared-threads.ts)
 *   threads of its own   a large stage, whose loading would hold up the others (own-threads.ts)
 *   processes            a stage whose time or memory follows from the values of its inputs: it can be ended in the middle of a
 *                        run (stage-processes.ts)
 *
 * A stage is first loaded once; a second thread or process loads it only if two requests meet. One that dies is replaced.
 * Tensors move to threads without a copy, and to processes through a socket.
 */
import type { RangeManifest } from '../../../../shared/contracts/range-manifest.ts'
import type { RuntimeOptions } from '../../../../shared/contracts/resource.ts'
import { waitAtMost } from '../../../../shared/platform/deadline.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { OWN_WORK } from '../../../../shared/platform/http-server/client-of.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { checkInputs } from './check-inputs.ts'
import { bufferPool } from '../../messages/buffer-memory.ts'
import { monotonicMs } from './cpu-time.ts'
import { full } from './executor-errors.ts'
import type { ExecutorThread } from './executor-thread.ts'
import { sumOfBytes } from './process-frames.ts'
import { OwnThreads } from './own-threads.ts'
import { buffersFilledBy } from './run-inputs.ts'
import { newTurns } from './run-turns.ts'
import type { RunReport, SessionSource } from './session-runner.ts'
import { SharedThreads } from './shared-threads.ts'
import { CLOSE_MS, type ProcessStats, StageProcesses } from './stage-processes.ts'

export interface ExecutorOptions {
  /** Number of threads that compute at the same time. */
  executors: number
  /** Runs that may wait per thread, in addition to the running one, and per stage that runs in processes. */
  queueLimit: number
  /** The thread waits (slowdown − 1) × the CPU time of each run. @defaultValue 1 */
  slowdown?: number
  /** JavaScript heap of a thread, which holds strings but neither tensors nor weights. @defaultValue 512 MiB */
  heapBytes?: number
  /** ms that a run may go on after its deadline, before its thread is replaced. @defaultValue 5000 */
  overrunMs?: number
  /** ms after which threads that are all held up count as such. @defaultValue 10000 */
  heldUpAfterMs?: number
  /** Memory that the processes of stages may have together. @defaultValue 2 GiB */
  memoryBytes?: number
  /** ms that a run in a process may take whose request has no deadline. @defaultValue 30000 */
  runTimeoutMs?: number
  /** Most bytes of the outputs of a run in a process, unless its shapes say more. @defaultValue 64 MiB */
  maxOutputBytes?: number
}

/** Where a stage runs. */
export type Place = 'shared threads' | 'threads of its own' | 'processes'

export interface StageSource {
  /** The sub-model's file; null if the range contains no layer. */
  path: string | null
  manifest: RangeManifest
  options: RuntimeOptions
  /** @defaultValue shared threads */
  place?: Place
}

/** A layer range that is ready to run. Every `load` needs one `unload`. */
export interface LoadedStage extends StageSource {
  readonly key: string
}

export interface RunOptions {
  /** Whose request it is; absent: work of the service itself. */
  client?: string | undefined
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

interface ThreadStats {
  stages: number
  queued: number
  running: boolean
  restarts: number
}

export interface ExecutorStats {
  /** The shared ones, then those of large stages. */
  threads: ThreadStats[]
  /** By stage that runs in processes. */
  processes: ProcessStats[]
  /** `threads` counts processes too. */
  stages: { key: string; references: number; threads: number }[]
}

const MIB = 1024 * 1024
/** A run that is nearly done is not worth a new thread, which loads its sessions again. */
const OVERRUN_MS = 5000
/** Longer than it takes to replace a thread. */
const HELD_UP_AFTER_MS = 10_000
/** Stages that may have all the processes that a stage may have. */
const MAX_STAGES_AT_ONCE = 4

interface Entry {
  stage: LoadedStage
  references: number
  loading: Promise<void>
  /** Names of the sub-model's inputs, known after it is loaded. */
  consumed: ReadonlySet<string>
  /** Set if it has threads of its own. */
  own: OwnThreads | undefined
}

export class Executor {
  readonly #shared: SharedThreads
  readonly #processes: StageProcesses
  readonly #makeOwn: () => OwnThreads
  readonly #queueLimit: number
  readonly #maxOutputBytes: number
  readonly #heldUpAfterMs: number
  readonly #entries = new Map<string, Entry>()
  /** Of stages whose last runs go on. */
  readonly #unloading = new Set<OwnThreads>()
  /** Ends of threads that were left to a run which goes on although it was given up. */
  readonly #leftAlone = new Set<Promise<unknown>>()

  constructor({ executors, queueLimit, ...given }: ExecutorOptions) {
    const { slowdown = 1, heapBytes = 512 * MIB, overrunMs = OVERRUN_MS } = given
    const { memoryBytes = 2048 * MIB, runTimeoutMs = 30_000, maxOutputBytes = 64 * MIB } = given
    const { heldUpAfterMs = HELD_UP_AFTER_MS } = given
    this.#queueLimit = queueLimit
    this.#maxOutputBytes = maxOutputBytes
    this.#heldUpAfterMs = heldUpAfterMs
    const leftAlone = this.#leftAlone
    const settings = { slowdown, heapBytes, overrunMs, freeTurns: newTurns(executors), leftAlone }
    this.#shared = new SharedThreads(executors, settings)
    this.#makeOwn = () => new OwnThreads(executors, settings)
    this.#processes = new StageProcesses({
      slowdown,
      heapBytes,
      queueLimit,
      memoryBytes,
      runTimeoutMs,
      perStage: executors + 1,
      total: MAX_STAGES_AT_ONCE * (executors + 1),
    })
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
    const report = await this.#runAt(entry, source, inputs, options)
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
    if (stage.place === 'processes') await this.#processes.unload(stage.key)
    else if (entry.own) await this.#unloadOwn(entry.own, stage.key)
    else await this.#shared.unload(stage.key)
  }

  async #unloadOwn(own: OwnThreads, key: string): Promise<void> {
    this.#unloading.add(own)
    try {
      await own.unload(key)
    } finally {
      this.#unloading.delete(own)
    }
  }

  stats(): ExecutorStats {
    const entries = [...this.#entries.values()]
    const threads = this.#threads()
    const processes = this.#processes.stats()
    const holding = ({ key }: LoadedStage) =>
      threads.filter((thread) => thread.held.has(key)).length +
      (processes.find((one) => one.key === key)?.stages ?? 0)
    return {
      threads: threads.map(statsOf),
      processes: processes.map(({ key: _key, ...stats }) => stats),
      stages: entries.map(({ stage, references }) => ({
        key: stage.key,
        references,
        threads: holding(stage),
      })),
    }
  }

  /** ms for which every shared thread has been held up by a run that was given up; 0 if not, or not for long. */
  heldUpMs(): number {
    const ms = this.#shared.heldUpMs()
    return ms > this.#heldUpAfterMs ? ms : 0
  }

  /** Whether a thread is in a run, which after `close` only one is that does not end: `process.exit` would wait for it. */
  get hung(): boolean {
    return this.#leftAlone.size > 0 || this.#threads().some(({ running }) => running)
  }

  /** The service is about to end: runs in processes have a moment left, and what waits behind a run that was given up. */
  leave(): void {
    this.#processes.leave()
    setTimeout(() => {
      for (const thread of this.#threads()) if (thread.late) thread.refuseWaiting()
    }, CLOSE_MS).unref()
  }

  /**
   * Waits for running computations, for a moment only if they are in processes or were given up; waiting runs fail with notReady.
   */
  async close(): Promise<void> {
    const own = this.#own()
    await Promise.all([this.#shared.close(), this.#processes.close(), ...own.map((one) => one.close())])
    this.#entries.clear()
    await waitAtMost(Promise.all(this.#leftAlone), CLOSE_MS, undefined)
  }

  #threads(): ExecutorThread[] {
    return [...this.#shared.threads, ...this.#own().flatMap(({ threads }) => threads)]
  }

  #own(): OwnThreads[] {
    return [...[...this.#entries.values()].flatMap(({ own }) => own ?? []), ...this.#unloading]
  }

  #add(key: string, source: StageSource): Entry {
    const stage = { key, ...source }
    const entry: Entry = {
      stage,
      references: 0,
      loading: Promise.resolve(),
      consumed: new Set(),
      own: source.place === 'threads of its own' ? this.#makeOwn() : undefined,
    }
    const session = sessionSource(stage)
    if (session) entry.loading = this.#loadSession(entry, session)
    this.#entries.set(key, entry)
    return entry
  }

  async #loadSession(entry: Entry, source: SessionSource): Promise<void> {
    const { stage, own } = entry
    if (stage.place === 'processes') return this.#processes.load(source, this.#outputBytes(stage))
    entry.consumed = new Set(await (own ?? this.#shared).load(source))
  }

  /** What its shapes say may be sent, however much that is. */
  #outputBytes({ manifest }: LoadedStage): number {
    return Math.max(this.#maxOutputBytes, sumOfBytes(manifest.outputs))
  }

  #runAt(
    { stage, own, consumed }: Entry,
    source: SessionSource,
    inputs: readonly Tensor[],
    options: RunOptions,
  ): Promise<Omit<RunReport, 'spare'>> {
    const passThrough = new Set(stage.manifest.passThrough)
    if (stage.place === 'processes') return this.#runInProcess(source, inputs, passThrough, options)
    const thread = (own ?? this.#shared).choose(source)
    const { client = OWN_WORK.client } = options
    const waiting = thread.waitingRuns
    if (waiting >= this.#queueLimit && !thread.makeRoom(client, this.#queueLimit))
      throw full(waiting, this.#queueLimit, 'an executor', thread.late)
    return thread.run(source, { inputs, consumed, passThrough }, options)
  }

  async #runInProcess(
    source: SessionSource,
    inputs: readonly Tensor[],
    passThrough: ReadonlySet<string>,
    options: RunOptions,
  ): Promise<Omit<RunReport, 'spare'>> {
    const report = await this.#processes.run(source.key, inputs, options)
    const through = inputs.filter(({ name }) => passThrough.has(name))
    const kept = new Set(through.map(({ bytes }) => bytes.buffer))
    bufferPool.give([...buffersFilledBy(inputs)].filter((buffer) => !kept.has(buffer)))
    return { ...report, outputs: [...report.outputs, ...through] }
  }
}

const statsOf = ({ held, waitingRuns, running, restarts }: ExecutorThread): ThreadStats => ({
  stages: held.size,
  queued: waitingRuns,
  running,
  restarts,
})

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
