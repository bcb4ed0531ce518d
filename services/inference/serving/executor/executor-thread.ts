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
 * busy. Other commands stay here, where they can be removed and each client has its turn (waiting-jobs.ts). Every command
 * contains everything that the worker needs, so a new worker can replace one that died.
 */
import { Worker } from 'node:worker_threads'
import { threadModule } from '../../../../shared/platform/processes/child-module.ts'
import { OWN_WORK } from '../../../../shared/platform/http-server/client-of.ts'
import { coerceError, ScissionError } from '../../../../shared/platform/errors.ts'
import '../../../../shared/onnx/runtime/no-telemetry.ts'
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { bufferPool } from '../../messages/buffer-memory.ts'
import {
  behindReplaced,
  behindStuck,
  displaced,
  givenUp,
  type LateRun,
  lateBehind,
  stopping,
} from './executor-errors.ts'
import { LateRuns, type LateRunSettings } from './late-runs.ts'
import { prepareInputs, type RunInputs } from './run-inputs.ts'
import { giveTurn, type Turns, turnsOf } from './run-turns.ts'
import type { RunReport, SessionSource } from './session-runner.ts'
import { type WaitingJob, WaitingJobs } from './waiting-jobs.ts'
import type { Command, Report, WorkerSettings } from './worker.ts'
import { type GivenUp, type Patience, watchPatience } from '../../../../shared/platform/deadline.ts'

const workerEntry = threadModule(new URL('./worker.ts', import.meta.url))

const MIB = 1024 * 1024
/** Commands at the worker: one that runs and one that is ready. */
const MAX_POSTED_COUNT = 2

interface Message {
  command: Command
  transfer: ArrayBuffer[]
}

interface Job extends WaitingJob {
  /** Where it waits or runs. */
  home: ExecutorThread
  compose: (id: number) => Message
  resolve: (report: Report) => void
  reject: (error: ScissionError) => void
}

interface Posted {
  id: number
  job: Job
}

export interface ThreadSettings extends Pick<WorkerSettings, 'slowdown'>, LateRunSettings {
  /** Maximum size of the thread's JavaScript heap. */
  heapBytes: number
  /** Turns that all threads share. */
  freeTurns: Int32Array
  /** Called when a run that was given up goes on. */
  onOverrun?: (thread: ExecutorThread) => void
}

/** Whose run it is, and how long it may wait. */
export interface RunPatience extends Patience {
  /** Absent: work of the service itself. */
  client?: string | undefined
}

export class ExecutorThread {
  readonly #settings: ThreadSettings
  readonly #waiting = new WaitingJobs<Job>()
  readonly #held = new Set<string>()
  #worker: Worker | undefined
  #posted: Posted[] = []
  /** One flag per posted command, shared with the worker: not 0 means do not begin. */
  #skips = newSkips()
  #turns: Turns
  #nextId = 1
  #restarts = 0
  #closed = false
  /** Called when nothing is at the worker any more that anybody waits for. */
  #idle: (() => void) | undefined
  readonly #lateRuns: LateRuns

  constructor(settings: ThreadSettings) {
    this.#settings = settings
    this.#lateRuns = new LateRuns(settings)
    this.#turns = turnsOf(settings.freeTurns)
    this.#worker = this.#start()
  }

  /** Number of runs that have not begun. */
  get waitingRuns(): number {
    return this.#waiting.runs + (this.#posted[1]?.job.kind === 'run' ? 1 : 0)
  }

  /** Number of commands that have not finished. */
  get pending(): number {
    return this.#waiting.length + this.#posted.length
  }

  get running(): boolean {
    return this.#posted[0]?.job.kind === 'run'
  }

  /** The run that was given up and goes on; undefined if none does. */
  get late(): LateRun | undefined {
    return this.#lateRuns.now
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
  async run(source: SessionSource, given: RunInputs, patience: RunPatience): Promise<RunReport> {
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

  /**
   * Makes a place for a run of this client among those that wait: the client with the most of them gives one back.
   * @param limit of those that wait. @returns whether there is one now.
   */
  makeRoom(client: string, limit: number): boolean {
    const sent = this.#posted[1]?.job
    const job = this.#waiting.displaceFor(client, sent?.kind === 'run' ? sent.client : undefined)
    job?.reject(displaced(limit, 'an executor'))
    return job !== undefined
  }

  /** Rejects what waits. */
  refuseWaiting(): void {
    for (const job of this.#waiting.items()) {
      this.#waiting.remove(job)
      job.reject(stopping())
    }
    for (const posted of this.#posted.slice(1)) {
      this.#skip(posted)
      posted.job.reject(stopping())
    }
  }

  /** Rejects what waits, waits for a run that was not given up, and ends the worker; one that such a run holds up is left alone. */
  async close(): Promise<void> {
    this.#closed = true
    this.refuseWaiting()
    if (this.#posted.length > 0 && !this.late) await new Promise<void>((resolve) => (this.#idle = resolve))
    const worker = this.#worker
    this.#worker = undefined
    if (!worker) return
    if (!this.late) return void (await worker.terminate())
    this.#lateRuns.leave(worker)
    this.#lateRuns.end()
    // Its callers are answered.
    this.#posted = []
    giveTurn(this.#turns)
  }

  #submit(
    kind: Job['kind'],
    key: string,
    compose: Job['compose'],
    { client = OWN_WORK.client, signal, deadline }: RunPatience = {},
  ): Promise<Report> {
    if (this.#closed) return Promise.reject(stopping())
    const { late } = this
    if (late?.isStuck && kind !== 'unload') return Promise.reject(behindStuck(`${DOING[kind]} ${key}`, late))
    this.#expect(kind, key)
    return new Promise((resolve, reject) => {
      const forget = watchPatience({ signal, deadline }, (why) => {
        const error = job.home.#giveUp(job, why)
        job.reject(error)
      })
      const done = <T>(settle: (outcome: T) => void) => {
        return (outcome: T) => {
          forget()
          settle(outcome)
        }
      }
      const job: Job = {
        home: this,
        kind,
        key,
        client,
        compose,
        resolve: done(resolve),
        reject: done(reject),
      }
      this.#begin(job)
    })
  }

  /** Directly, if nothing waits and the worker can have it. */
  #begin(job: Job): void {
    if (this.#posted.length < MAX_POSTED_COUNT && this.#waiting.length === 0) {
      this.#waiting.passed(job)
      this.#post(job)
    } else this.#waiting.add(job)
  }

  /** Gives the runs that wait behind one without end to another thread. */
  handOver(to: ExecutorThread): void {
    const runs = this.#waiting.items().filter(({ kind }) => kind === 'run')
    for (const job of runs) {
      this.#waiting.remove(job)
      job.home = to
      to.#expect(job.kind, job.key)
      to.#begin(job)
    }
  }

  #expect(kind: Job['kind'], key: string): void {
    if (kind === 'unload') {
      this.#held.delete(key)
      this.#lateRuns.forget(key)
    } else this.#held.add(key)
  }

  /** Takes a job back whose caller is gone, or too late. @returns what that caller hears. */
  #giveUp(job: Job, why: GivenUp): ScissionError {
    this.#waiting.remove(job)
    const place = this.#posted.findIndex((posted) => posted.job === job)
    const posted = this.#posted[place]
    if (posted) this.#skip(posted)
    const what = `${DOING[job.kind]} ${job.key}`
    if (posted && place === 0) {
      if (job.kind === 'run') {
        this.#watchOverrun(posted)
        this.#settings.onOverrun?.(this)
      }
      return givenUp(what, why)
    }
    const waiting = `waiting for ${what}`
    return this.late && why === 'late' ? lateBehind(waiting, this.late) : givenUp(waiting, why)
  }

  #watchOverrun({ job }: Posted): void {
    const worker = this.#worker
    const replace = (overrunMs: number) => {
      if (!worker || this.#worker !== worker) return
      this.#lateRuns.leave(worker)
      // A run that was posted behind it has lost its tensors, but is not at fault.
      this.#died(worker, `${job.key} runs on ${overrunMs} ms after it was given up`, (what) =>
        behindReplaced(what, overrunMs),
      )
    }
    this.#lateRuns.begin(job.key, replace, (late) => this.#refuseBehind(late))
    this.#idle?.()
  }

  /** Nobody waits for a thread that may never be free again. */
  #refuseBehind(late: LateRun): void {
    const behind = this.#posted.slice(1)
    for (const posted of behind) this.#skip(posted)
    const jobs = [...behind.map(({ job }) => job), ...this.#waiting.items()]
    for (const job of jobs.filter(({ kind }) => kind !== 'unload')) {
      this.#waiting.remove(job)
      job.reject(behindStuck(`${DOING[job.kind]} ${job.key}`, late))
    }
  }

  #skip({ id }: Posted): void {
    Atomics.store(this.#skips, id % MAX_POSTED_COUNT, 1)
  }

  #isSkipped({ id }: Posted): boolean {
    return Atomics.load(this.#skips, id % MAX_POSTED_COUNT) !== 0
  }

  #pump(): void {
    while (this.#posted.length < MAX_POSTED_COUNT) {
      const job = this.#waiting.take()
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
    this.#lateRuns.end()
    this.#posted.shift()
    if (report.type === 'ran') this.#ran(posted.job.key, report.result)
    this.#watchNext()
    this.#pump()
    if (report.type === 'failed') {
      // A run that fails may have its session; a load that fails has none.
      if (posted.job.kind === 'load') this.#held.delete(posted.job.key)
      posted.job.reject(new ScissionError(report.code, report.message, report.details))
    } else posted.job.resolve(report)
  }

  /** The worker skips a run that was given up, unless it had begun it before that was known here. */
  #watchNext(): void {
    const [next] = this.#posted
    if (next?.job.kind === 'run' && this.#isSkipped(next)) this.#watchOverrun(next)
  }

  #ran(key: string, { spare, computeMs, waitedMs }: RunReport): void {
    bufferPool.give(spare)
    this.#lateRuns.took(key, computeMs + waitedMs)
  }

  /**
   * Posted commands have lost their tensors and are rejected; waiting ones continue with a new worker.
   * @param behind the error of one that had not begun. @defaultValue the worker died
   */
  #died(worker: Worker, reason: string, behind?: (what: string) => ScissionError): void {
    if (this.#worker !== worker) return
    this.#worker = undefined
    this.#lateRuns.end()
    // Its turn is free for the next one, also if it computes on.
    giveTurn(this.#turns)
    this.#turns = turnsOf(this.#settings.freeTurns)
    this.#skips = newSkips()
    this.#restarts += 1
    this.#held.clear()
    for (const { kind, key } of this.#waiting.items()) this.#expect(kind, key)
    for (const [place, { job }] of this.#posted.splice(0).entries()) {
      const what = `${DOING[job.kind]} ${job.key}`
      job.reject(
        place > 0 && behind ? behind(what) : died(`${place === 0 ? 'while' : 'before'} ${what}`, job, reason),
      )
    }
    this.#pump()
  }
}

const DOING = { load: 'loading', run: 'running', unload: 'unloading' } as const

function newSkips(): Int32Array {
  return new Int32Array(new SharedArrayBuffer(MAX_POSTED_COUNT * Int32Array.BYTES_PER_ELEMENT))
}

const died = (when: string, { key }: Job, reason: string) =>
  new ScissionError(
    'internal',
    `an executor thread died ${when} (${reason}); it has been replaced: send the request again`,
    { reason, stage: key },
  )
const unexpected = (report: Report) =>
  new ScissionError('internal', `the executor thread answered "${report.type}" to another command`)
