/**
 * The main thread's side of one executor thread: a queue of commands that are answered in order.
 *
 *   submit ─▶ waiting ─▶ posted ─▶ settled by the worker's report
 *                │          ├─ aborted or late: rejected at once; the worker skips it if it has not begun
 *                │          └─ the worker dies: rejected; the next command starts a new worker
 *                │             (or it runs on for long after its run was given up, which nothing can stop)
 *                └─ aborted or late: removed from the queue, never computed, its tensors untouched
 *
 * At most two commands are posted: one runs, and the next one is already at the worker when it ends, even if this thread is
 * busy. Other commands stay here, where they can be removed. Every command contains everything that the worker needs, so a
 * new worker can replace one that died.
 */
import { Worker } from 'node:worker_threads'
import { threadModule } from '../../../../shared/platform/processes/child-module.ts'
import { coerceError, type ErrorCode, ScissionError } from '../../../../shared/platform/errors.ts'
import '../../../../shared/onnx/runtime/no-telemetry.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { bufferPool, isMovable } from '../../messages/buffer-memory.ts'
import { giveTurn, type Turns, turnsOf } from './run-turns.ts'
import type { RunReport, SessionSource } from './session-runner.ts'
import type { Command, Report, WorkerSettings } from './worker.ts'
import { type GivenUp, type Patience, watchPatience } from '../../../../shared/platform/deadline.ts'

const workerEntry = threadModule(new URL('./worker.ts', import.meta.url))

const MIB = 1024 * 1024
/** Commands at the worker: one that runs and one that is ready. */
const MAX_POSTED_COUNT = 2
/** Workers that may be left to runs without end. */
const MAX_LEFT_ALONE = 2
/** A run may go on for this multiple of the longest one of its session: models that take long are no endless ones. */
const LONG_RUN_FACTOR = 4

interface Message {
  command: Command
  transfer: ArrayBuffer[]
}

interface Job {
  /** Where it waits or runs. */
  home: ExecutorThread
  kind: Command['type']
  key: string
  compose: (id: number) => Message
  resolve: (report: Report) => void
  reject: (error: ScissionError) => void
}

interface Posted {
  id: number
  job: Job
}

export interface ThreadSettings extends Pick<WorkerSettings, 'slowdown'> {
  /** Maximum size of the thread's JavaScript heap. */
  heapBytes: number
  /** ms that a run may go on after it was given up; then the thread is left to it, and another one takes its place. */
  overrunMs: number
  /** Turns that all threads share. */
  freeTurns: Int32Array
  /** Called when a run that was given up goes on. */
  onOverrun?: (thread: ExecutorThread) => void
}

/** The input tensors of one run. */
export interface RunInputs {
  inputs: readonly Tensor[]
  /** Names of the session's inputs. */
  consumed: ReadonlySet<string>
  /** Names of inputs that are also outputs of the range. */
  passThrough: ReadonlySet<string>
}

export class ExecutorThread {
  readonly #settings: ThreadSettings
  readonly #waiting: Job[] = []
  readonly #held = new Set<string>()
  #worker: Worker | undefined
  #posted: Posted[] = []
  /** One flag per posted command, shared with the worker: not 0 means do not begin. */
  #skips = newSkips()
  #turns: Turns
  #nextId = 1
  #restarts = 0
  #closed = false
  #idle: (() => void) | undefined
  /** Watches a run that was given up and goes on. */
  #overrun: NodeJS.Timeout | undefined
  #overrunSince: number | undefined
  /** Ends of workers that were left to such a run. */
  readonly #leftAlone = new Set<Promise<unknown>>()
  /** Key of a session → ms of its longest run. */
  readonly #longestMs = new Map<string, number>()

  constructor(settings: ThreadSettings) {
    this.#settings = settings
    this.#turns = turnsOf(settings.freeTurns)
    this.#worker = this.#start()
  }

  /** Number of runs that have not begun. */
  get waitingRuns(): number {
    const behind = [...this.#posted.slice(1).map(({ job }) => job), ...this.#waiting]
    return behind.filter((job) => job.kind === 'run').length
  }

  /** Number of commands that have not finished. */
  get pending(): number {
    return this.#waiting.length + this.#posted.length
  }

  get running(): boolean {
    return this.#posted[0]?.job.kind === 'run'
  }

  /** `performance.now()` since when a run goes on that was given up; undefined if none does. */
  get overrunSince(): number | undefined {
    return this.#overrunSince
  }

  /** Number of times the worker died and was replaced. */
  get restarts(): number {
    return this.#restarts
  }

  /** Keys of the sessions that the worker holds, or will hold after its queue is processed. */
  get held(): ReadonlySet<string> {
    return this.#held
  }

  /** @returns the names of the session's inputs. */
  async load(source: SessionSource): Promise<string[]> {
    const compose = (id: number): Message => ({ command: { type: 'load', id, ...source }, transfer: [] })
    const report = await this.#submit('load', source.key, compose)
    if (report.type !== 'loaded') throw unexpected(report)
    return report.inputNames
  }

  /** Runs a stage on the worker. Until the worker is free, the caller's buffers stay untouched. */
  async run(source: SessionSource, given: RunInputs, patience: Patience): Promise<RunReport> {
    let kept: Tensor[] = []
    const compose = (id: number): Message => {
      const prepared = prepareInputs(given)
      const { sent: inputs, transfer, returned } = prepared
      kept = prepared.kept
      return { command: { type: 'run', id, ...source, inputs, returned }, transfer }
    }
    const report = await this.#submit('run', source.key, compose, patience)
    if (report.type !== 'ran') throw unexpected(report)
    report.result.outputs.push(...kept)
    return report.result
  }

  async unload(key: string): Promise<void> {
    const compose = (id: number): Message => ({ command: { type: 'unload', id, key }, transfer: [] })
    await this.#submit('unload', key, compose)
  }

  /** Waits for what runs, also for runs that were given up, rejects the others, and ends the worker. */
  async close(): Promise<void> {
    this.#closed = true
    for (const job of this.#waiting.splice(0)) job.reject(stopping())
    for (const posted of this.#posted.slice(1)) {
      this.#skip(posted)
      posted.job.reject(stopping())
    }
    if (this.#posted.length > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    clearTimeout(this.#overrun)
    await this.#worker?.terminate()
    this.#worker = undefined
    await Promise.all(this.#leftAlone)
  }

  #submit(
    kind: Job['kind'],
    key: string,
    compose: Job['compose'],
    { signal, deadline }: Patience = {},
  ): Promise<Report> {
    if (this.#closed) return Promise.reject(stopping())
    this.#expect(kind, key)
    return new Promise((resolve, reject) => {
      const forget = watchPatience({ signal, deadline }, (why) => {
        job.home.#takeBack(job)
        job.reject(givenUp(`${DOING[kind]} ${key}`, why))
      })
      const done = <T>(settle: (outcome: T) => void) => {
        return (outcome: T) => {
          forget()
          settle(outcome)
        }
      }
      const job: Job = { home: this, kind, key, compose, resolve: done(resolve), reject: done(reject) }
      this.#waiting.push(job)
      this.#pump()
    })
  }

  /** Gives the runs that wait behind one without end to another thread. */
  handOver(to: ExecutorThread): void {
    const runs = this.#waiting.filter(({ kind }) => kind === 'run')
    for (const job of runs) {
      this.#waiting.splice(this.#waiting.indexOf(job), 1)
      job.home = to
      to.#expect(job.kind, job.key)
      to.#waiting.push(job)
    }
    to.#pump()
  }

  #expect(kind: Job['kind'], key: string): void {
    if (kind === 'unload') {
      this.#held.delete(key)
      this.#longestMs.delete(key)
    } else this.#held.add(key)
  }

  #takeBack(job: Job): void {
    const place = this.#waiting.indexOf(job)
    if (place !== -1) this.#waiting.splice(place, 1)
    const posted = this.#posted.find((candidate) => candidate.job === job)
    if (posted) this.#skip(posted)
    if (posted && posted === this.#posted[0] && job.kind === 'run') this.#watchOverrun(posted)
  }

  /**
   * ONNX Runtime cannot be interrupted, and values can make a run endless: a Loop whose trip count is an input. All that waits
   * behind it would be late. When such a run ends after all, its worker ends too.
   */
  #watchOverrun({ id, job }: Posted): void {
    const worker = this.#worker
    this.#overrunSince ??= performance.now()
    this.#settings.onOverrun?.(this)
    // Each takes the memory of its sessions once more.
    if (this.#leftAlone.size >= MAX_LEFT_ALONE) return
    const overrunMs = Math.max(
      this.#settings.overrunMs,
      LONG_RUN_FACTOR * (this.#longestMs.get(job.key) ?? 0),
    )
    clearTimeout(this.#overrun)
    this.#overrun = setTimeout(() => {
      if (!worker || this.#worker !== worker || this.#posted[0]?.id !== id) return
      const end = worker.terminate().finally(() => this.#leftAlone.delete(end))
      this.#leftAlone.add(end)
      // A run that was posted behind it has lost its tensors, but is not at fault.
      this.#died(worker, `${job.key} runs on ${overrunMs} ms after it was given up`, 'overloaded')
    }, overrunMs)
    this.#overrun.unref()
  }

  #skip({ id }: Posted): void {
    Atomics.store(this.#skips, id % MAX_POSTED_COUNT, 1)
  }

  #pump(): void {
    while (this.#posted.length < MAX_POSTED_COUNT) {
      const job = this.#waiting.shift()
      if (job === undefined) break
      this.#post(job)
    }
    if (this.#posted.length === 0) this.#idle?.()
  }

  #post(job: Job): void {
    const id = this.#nextId
    try {
      const { command, transfer } = job.compose(id)
      Atomics.store(this.#skips, id % MAX_POSTED_COUNT, 0)
      this.#worker ??= this.#start()
      this.#worker.postMessage(command, transfer)
      this.#posted.push({ id, job })
      this.#nextId += 1
    } catch (thrown) {
      const { message } = coerceError(thrown)
      job.reject(new ScissionError('internal', `${DOING[job.kind]} ${job.key}: cannot be sent: ${message}`))
    }
  }

  #start(): Worker {
    const { heapBytes, slowdown } = this.#settings
    const worker = new Worker(workerEntry, {
      workerData: { slowdown, skips: this.#skips, turns: this.#turns } satisfies WorkerSettings,
      resourceLimits: { maxOldGenerationSizeMb: heapBytes / MIB },
    })
    let reason = 'it exited'
    worker.on('message', (report: Report) => {
      if (this.#worker === worker) this.#settle(report)
    })
    worker.on('error', (thrown) => (reason = coerceError(thrown).message))
    worker.on('exit', () => this.#died(worker, reason))
    return worker
  }

  #settle(report: Report): void {
    const [posted] = this.#posted
    if (posted?.id !== report.id) return
    clearTimeout(this.#overrun)
    this.#overrunSince = undefined
    this.#posted.shift()
    if (report.type === 'ran') this.#ran(posted.job.key, report.result)
    this.#pump()
    if (report.type === 'failed') {
      // A run that fails may have its session; a load that fails has none.
      if (posted.job.kind === 'load') this.#held.delete(posted.job.key)
      posted.job.reject(new ScissionError(report.code, report.message, report.details))
    } else posted.job.resolve(report)
  }

  #ran(key: string, { spare, computeMs, waitedMs }: RunReport): void {
    bufferPool.give(spare)
    this.#longestMs.set(key, Math.max(this.#longestMs.get(key) ?? 0, computeMs + waitedMs))
  }

  /** Posted commands have lost their tensors and are rejected; waiting ones continue with a new worker. */
  #died(worker: Worker, reason: string, codeBehind: ErrorCode = 'internal'): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    this.#overrunSince = undefined
    // Its turn is free for the next one, also if it computes on.
    giveTurn(this.#turns)
    this.#turns = turnsOf(this.#settings.freeTurns)
    this.#skips = newSkips()
    this.#restarts += 1
    this.#held.clear()
    for (const { kind, key } of this.#waiting) this.#expect(kind, key)
    for (const [place, { job }] of this.#posted.splice(0).entries()) {
      const doing = `${place === 0 ? 'while' : 'before'} ${DOING[job.kind]} ${job.key}`
      const message = `an executor thread died ${doing} (${reason}); it has been replaced: send the request again`
      const code = place === 0 ? 'internal' : codeBehind
      job.reject(new ScissionError(code, message, { reason, stage: job.key }))
    }
    this.#pump()
  }
}

interface PreparedInputs {
  sent: Tensor[]
  transfer: ArrayBuffer[]
  /** Names of tensors in `sent` that the thread must return, because they pass through. */
  returned: string[]
  /** Tensors that pass through and stay here. */
  kept: Tensor[]
}

/**
 * Decides which input buffers of a run move to the thread and which are copied.
 *
 * A buffer that the tensors of one run fill completely moves without a copy; the caller's views of it become empty. A part
 * of a larger buffer, for instance of Node's pool, is copied once, because the rest of that buffer may have other readers. A
 * tensor that passes through stays here, unless it is in a buffer that moves; then it returns with the outputs.
 */
export function prepareInputs({ inputs, consumed, passThrough }: RunInputs): PreparedInputs {
  const moving = buffersFilledBy(inputs)
  const prepared: PreparedInputs = { sent: [], transfer: [...moving], returned: [], kept: [] }
  for (const tensor of inputs) {
    const { buffer } = tensor.bytes
    if (buffer instanceof ArrayBuffer && moving.has(buffer)) {
      prepared.sent.push(tensor)
      if (passThrough.has(tensor.name)) prepared.returned.push(tensor.name)
      continue
    }
    if (passThrough.has(tensor.name)) prepared.kept.push(tensor)
    if (consumed.has(tensor.name)) addCopy(prepared, tensor)
  }
  return prepared
}

/** The buffers that the tensors of one run fill completely, and that have no other readers. */
export function buffersFilledBy(inputs: readonly Tensor[]): Set<ArrayBuffer> {
  const used = new Map<ArrayBuffer, number>()
  for (const { bytes } of inputs) {
    if (bytes.buffer instanceof ArrayBuffer)
      used.set(bytes.buffer, (used.get(bytes.buffer) ?? 0) + bytes.byteLength)
  }
  const filled = [...used].filter(([buffer, bytes]) => bytes === buffer.byteLength && isMovable(buffer))
  return new Set(filled.map(([buffer]) => buffer))
}

function addCopy(prepared: PreparedInputs, tensor: Tensor): void {
  const bytes = new Uint8Array(tensor.bytes)
  prepared.sent.push({ ...tensor, bytes })
  if (bytes.byteLength > 0) prepared.transfer.push(bytes.buffer)
}

const DOING = { load: 'loading', run: 'running', unload: 'unloading' } as const

function newSkips(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(MAX_POSTED_COUNT * Int32Array.BYTES_PER_ELEMENT))
}

/** The error of a caller that gave up waiting for `what`. */
export const givenUp = (what: string, why: GivenUp): ScissionError =>
  why === 'aborted'
    ? new ScissionError('cancelled', `${what}: the caller is gone`)
    : new ScissionError('deadlineExceeded', `${what}: not done before its deadline`)

/** The error of whoever comes too late. */
export const stopping = () => new ScissionError('notReady', 'the executor is stopping')
const unexpected = (report: Report) =>
  new ScissionError('internal', `the executor thread answered "${report.type}" to another command`)
