/**
 * The processes that run stages which could run away: each holds one session and computes one run at a time.
 *
 *   run ─▶ waiting ─▶ a process of the stage that is free
 *            │          ├─ late, or its caller is gone: the process is killed, and another takes its place
 *            │          ├─ it needs too much memory: the same
 *            │          └─ it has grown much: it is replaced after the run, so that its memory is given back
 *            └─ late, or its caller is gone: never computed
 *
 * A stage gets another process when a run waits, so that a run without end holds up nobody, up to a number. There is a number
 * for all stages too: beyond it processes without work make room. Runs are taken of each client in turn, and no client has all
 * processes: one remains for another.
 */
import type { Tensor } from '../../../../shared/contracts/tensor.ts'
import { type Patience, waitAtMost, watchPatience } from '../../../../shared/platform/deadline.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { FairLine } from '../../../../shared/platform/fair-line.ts'
import { OWN_WORK } from '../../../../shared/platform/http-server/client-of.ts'
import { displaced, full, givenUp, stopping } from './executor-errors.ts'
import { ProcessMemory } from './process-memory.ts'
import type { RunPatience } from './executor-thread.ts'
import type { RunReport, SessionSource } from './session-runner.ts'
import { StageProcess, type StageProcessSettings } from './stage-process.ts'

export interface StageProcessesSettings extends StageProcessSettings {
  /** Most processes of one stage that one client's runs may have, and of all stages together; another client has one more. */
  perStage: number
  total: number
  /** Runs of a stage that may wait. */
  queueLimit: number
  /** All processes together may have as much memory of their own. */
  memoryBytes: number
  /** ms that a run may take whose request has no deadline. */
  runTimeoutMs: number
}

/** Of all processes of a stage. */
export interface ProcessStats {
  /** Those that hold the stage, or are about to. */
  stages: number
  queued: number
  running: boolean
  restarts: number
  pids: number[]
}

type Report = Omit<RunReport, 'spare'>

interface Item {
  client: string
  inputs: readonly Tensor[]
  patience: Patience
  /** Called when it is taken from those that wait. */
  stopWaiting: () => void
  resolve: (report: Report) => void
  reject: (error: unknown) => void
}

interface Stage {
  source: SessionSource
  /** Most bytes of its outputs. */
  maxBytes: number
  waiting: FairLine<Item>
  /** Client → its runs under way. */
  running: Map<string, number>
  /** The least recently used is first. */
  processes: Set<StageProcess>
  restarts: number
  /** Called once nothing runs or waits any more: set when no more comes. */
  onDone: (() => void)[]
}

/** Memory that a process may keep from a run for the next ones. */
const KEPT_BYTES = 256 * 1024 * 1024
/** ms that runs may still take when the service ends. */
export const CLOSE_MS = 2000

export class StageProcesses {
  readonly #settings: StageProcessesSettings
  readonly #stages = new Map<string, Stage>()
  readonly #memory: ProcessMemory
  #closed = false

  constructor(settings: StageProcessesSettings) {
    this.#settings = settings
    this.#memory = new ProcessMemory(settings.memoryBytes)
  }

  /**
   * Starts a process of the stage. @param maxBytes most bytes of its outputs.
   * @throws ScissionError invalidModel if ONNX Runtime cannot load it.
   */
  async load(source: SessionSource, maxBytes: number): Promise<void> {
    if (this.#closed) throw stopping()
    const stage: Stage = {
      source,
      maxBytes,
      waiting: new FairLine(),
      running: new Map(),
      processes: new Set(),
      restarts: 0,
      onDone: [],
    }
    this.#stages.set(source.key, stage)
    try {
      await this.#start(stage).loaded
    } catch (error) {
      this.#stages.delete(source.key)
      throw error
    }
  }

  /**
   * Runs a stage; the tensors stay as they are.
   * @throws ScissionError deadlineExceeded, cancelled: its process was killed if the run had begun; payloadTooLarge if it needed
   *   too much memory, or its outputs do; overloaded; as `runError`; internal if the process died.
   */
  run(key: string, inputs: readonly Tensor[], given: RunPatience): Promise<Report> {
    const stage = this.#stages.get(key)
    if (!stage || this.#closed) return Promise.reject(stopping())
    const { client = OWN_WORK.client, ...patience } = given
    const { waiting } = stage
    const { queueLimit } = this.#settings
    if (waiting.length >= queueLimit) {
      const newest = waiting.displaceFor(client)
      if (!newest) return Promise.reject(full(waiting.length, queueLimit, 'this stage'))
      newest.stopWaiting()
      newest.reject(displaced(queueLimit, 'this stage'))
    }
    return new Promise((resolve, reject) => {
      const stopWaiting = watchPatience(patience, (why) => {
        waiting.remove(client, item)
        reject(givenUp(`waiting to run ${key}`, why))
        this.#pump(stage)
      })
      const item: Item = { client, inputs, patience, stopWaiting, resolve, reject }
      waiting.add(client, item)
      this.#pump(stage)
    })
  }

  /** Ends the processes of a stage after its runs. */
  async unload(key: string): Promise<void> {
    const stage = this.#stages.get(key)
    if (!stage) return
    if (isBusy(stage)) await done(stage)
    this.#stages.delete(key)
    await this.#end([...stage.processes])
  }

  stats(): (ProcessStats & { key: string })[] {
    return [...this.#stages].map(([key, { waiting, processes, restarts }]) => ({
      key,
      stages: alive(processes),
      queued: waiting.length,
      running: [...processes].some(runs),
      restarts,
      pids: [...processes].flatMap(({ pid }) => pid ?? []),
    }))
  }

  /** The service is about to end: what still runs has a moment left. */
  leave(): void {
    setTimeout(() => void this.close(0), CLOSE_MS).unref()
  }

  /** Rejects runs that wait, and ends all processes. @param graceMs for the runs under way. */
  async close(graceMs = CLOSE_MS): Promise<void> {
    this.#closed = true
    const stages = [...this.#stages.values()]
    for (const stage of stages) refuseAll(stage, stopping())
    await waitAtMost(Promise.all(stages.filter(isBusy).map(done)), graceMs, undefined)
    await this.#end(stages.flatMap(({ processes }) => [...processes]))
    this.#stages.clear()
  }

  async #end(processes: readonly StageProcess[]): Promise<void> {
    for (const one of processes) one.kill(stopping())
    await Promise.all(processes.map(({ ended }) => ended))
  }

  /** Gives what waits to processes that are free, and starts another if none is. */
  #pump(stage: Stage): void {
    const { source, waiting, processes } = stage
    for (const one of [...processes].filter(({ free }) => free)) {
      const item = waiting.take((client) => this.#placesOf(stage, client) > 0)
      if (!item) break
      void this.#runOn(stage, one, item)
    }
    const coming = [...processes].filter((one) => one.loading).length
    const most = this.#settings.perStage + 1
    if (this.#couldRun(stage) > coming && alive(processes) < most && this.#makesRoom(source.key))
      this.#start(stage)
    if (!isBusy(stage)) for (const call of stage.onDone.splice(0)) call()
  }

  /** Processes of the stage that the client may still have now. */
  #placesOf({ running }: Stage, client: string): number {
    const { perStage, total } = this.#settings
    const all = [...this.#stages.values()].reduce((sum, stage) => sum + (stage.running.get(client) ?? 0), 0)
    return Math.min(perStage - (running.get(client) ?? 0), total - all)
  }

  /** Runs that wait and whose clients may have another process. */
  #couldRun(stage: Stage): number {
    let count = 0
    for (const [client, own] of stage.waiting.clients())
      count += Math.max(0, Math.min(own.length, this.#placesOf(stage, client)))
    return count
  }

  /** @returns whether one more process may be started. */
  #makesRoom(key: string): boolean {
    const all = [...this.#stages.values()]
    if (all.reduce((sum, { processes }) => sum + alive(processes), 0) <= this.#settings.total) return true
    const others = all.filter((other) => other.source.key !== key && other.waiting.length === 0)
    const idle = others.flatMap(({ processes }) => [...processes]).find((one) => one.free)
    idle?.kill(new ScissionError('notReady', 'the process of a stage made room for another'))
    return idle !== undefined
  }

  #start(stage: Stage): StageProcess {
    const one = new StageProcess(stage.source, this.#settings)
    stage.processes.add(one)
    this.#memory.add(one)
    one.loaded.then(
      () => this.#pump(stage),
      (error: unknown) => {
        one.kill(stopping())
        // Those that wait would start it again and again.
        if (alive(stage.processes) === 0) refuseAll(stage, error)
      },
    )
    void one.ended.then(() => {
      stage.processes.delete(one)
      // There is room for one more, of whichever stage.
      for (const other of this.#stages.values()) this.#pump(other)
    })
    return one
  }

  async #runOn(stage: Stage, one: StageProcess, item: Item): Promise<void> {
    item.stopWaiting()
    const { source, maxBytes, processes, running } = stage
    running.set(item.client, (running.get(item.client) ?? 0) + 1)
    processes.delete(one)
    processes.add(one)
    const limit = item.patience.deadline ?? performance.now() + this.#settings.runTimeoutMs
    const stopWatching = watchPatience({ ...item.patience, deadline: limit }, (why) =>
      one.kill(
        item.patience.deadline === undefined && why === 'late'
          ? this.#tooLong(source.key)
          : givenUp(`running ${source.key}`, why),
      ),
    )
    try {
      item.resolve(await one.run(item.inputs, maxBytes))
      if (one.grownBytes() > KEPT_BYTES) one.kill(stopping())
    } catch (error) {
      // What it made and did not send is still in its memory.
      if (error instanceof ScissionError && error.code === 'payloadTooLarge') one.kill(stopping())
      item.reject(error)
    } finally {
      stopWatching()
      const left = (running.get(item.client) ?? 1) - 1
      if (left > 0) running.set(item.client, left)
      else running.delete(item.client)
      if (!one.alive) this.#replace(stage)
      for (const other of this.#stages.values()) this.#pump(other)
    }
  }

  /** At once, and not with the next run, which would wait for it. */
  #replace(stage: Stage): void {
    stage.restarts += 1
    const isWanted =
      this.#stages.get(stage.source.key) === stage && stage.onDone.length === 0 && !this.#closed
    if (isWanted && alive(stage.processes) === 0) this.#start(stage)
  }

  #tooLong(key: string): ScissionError {
    const { runTimeoutMs } = this.#settings
    return new ScissionError(
      'deadlineExceeded',
      `running ${key} took longer than ${runTimeoutMs} ms and was ended; SCISSION_RUN_TIMEOUT_MS sets the limit of requests ` +
        'without a `timeout`',
      { limitMs: runTimeoutMs },
    )
  }
}

const alive = (processes: Iterable<StageProcess>): number => [...processes].filter((one) => one.alive).length
const runs = (one: StageProcess): boolean => one.busy && !one.loading
const isBusy = ({ waiting, processes }: Stage): boolean => waiting.length > 0 || [...processes].some(runs)

const done = (stage: Stage) => new Promise<void>((resolve) => stage.onDone.push(resolve))

function refuseAll({ waiting }: Stage, error: unknown): void {
  for (const item of waiting.clear()) {
    item.stopWaiting()
    item.reject(error)
  }
}
