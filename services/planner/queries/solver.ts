/**
 * From a problem and a query to plans or a map. Short questions are solved on the calling thread, in milliseconds, and long
 * ones on worker threads, so that a map of 10,000 cells never delays a plan query. Work that exceeds its time limit is ended
 * with its thread; the next work starts another.
 *
 * Both are shared out among clients, each in turn: between two short questions the event loop takes in what has come meanwhile,
 * and a client that asks thousands waits for itself.
 */
import { setImmediate as nextLoop } from 'node:timers/promises'
import type { PlanQuery } from '../../../shared/contracts/plan.ts'
import type { SensitivityChange, Sweep, SweepGrid } from '../../../shared/contracts/plan-sweep.ts'
import {
  type GraphOptimum,
  type GraphProblem,
  optimise,
  optimiseGraph,
  type Optimum,
  sensitivityOf,
  sweep,
} from '../../../shared/planning/index.ts'
import { jsonInTurns } from '../../../shared/platform/json-in-turns.ts'
import { threadModule } from '../../../shared/platform/processes/child-module.ts'
import { type Asker, FairQueue } from '../../../shared/platform/fair-queue.ts'
import { FairThreads } from '../../../shared/platform/threads/fair-threads.ts'

export interface SolverOptions {
  /** ms of work on the calling thread; a question that takes longer starts again on a worker thread. @defaultValue 40 */
  inPlaceMs?: number
  /** Maximum ms for one piece of work, from its start. @defaultValue 120000 */
  longestMs?: number
  /** Long questions that may wait, of one client and of all; further ones are refused. @defaultValue 16 and 64 */
  waitingOfClient?: number
  waiting?: number
  /** ms without work after which the thread ends and its memory is freed. @defaultValue 10000 */
  idleMs?: number
  /** The module that the thread runs. @defaultValue solve-worker.ts */
  entry?: URL
}

const ownEntry = threadModule(new URL('./solve-worker.ts', import.meta.url))

/** Short questions that may wait. They take milliseconds each. */
const SHORT = { what: 'questions', atOnce: 1, waiting: 4096, waitingOfClient: 1024 }

export class SolverThread {
  readonly #inPlaceMs: number
  readonly #short = new FairQueue(SHORT)
  readonly #long: FairThreads<SentWork, Solutions[Work['kind']]>

  constructor(options: SolverOptions = {}) {
    const { inPlaceMs = 40, longestMs = 120_000, idleMs = 10_000 } = options
    const { waiting = 64, waitingOfClient = 16 } = options
    this.#inPlaceMs = inPlaceMs
    const late = `the question was not answered within ${longestMs / 1000} s; ask for less, or give timeLimitMs`
    this.#long = new FairThreads({
      entry: options.entry ?? ownEntry,
      name: 'the solver thread',
      what: 'long questions',
      waiting,
      waitingOfClient,
      longest: { ms: longestMs, message: late },
      idleMs,
    })
  }

  get running(): boolean {
    return this.#long.running
  }

  /**
   * @param asker whose question it is; OWN_WORK for what the planner asks itself.
   * @throws ScissionError as the optimiser does; tooManyRequests or overloaded if too many questions wait; cancelled if the asker
   *   left before its turn; deadlineExceeded.
   */
  async solve<K extends Work['kind']>(work: Extract<Work, { kind: K }>, asker: Asker): Promise<Solutions[K]> {
    const atOnce = isLong(work) ? undefined : await this.#short.run(asker, () => this.#inPlace(work))
    // `solve` returns the solution type of the work's kind.
    return (atOnce ?? (await this.#long.run(() => sent(work), asker))) as Solutions[K]
  }

  async #inPlace(work: Work): Promise<Solutions[Work['kind']] | undefined> {
    // Who has asked meanwhile comes into the queue before the next one begins.
    await nextLoop()
    return solveWithin(this.#inPlaceMs, work)
  }

  async close(): Promise<void> {
    await this.#long.close()
  }
}

/** Contains the whole structure of the model, so that both views can plan with it. */
export type PlanningProblem = GraphProblem

export type Work =
  | { kind: 'chain'; problem: PlanningProblem; query: PlanQuery }
  | { kind: 'graph'; problem: PlanningProblem; query: PlanQuery }
  | { kind: 'sweep'; problem: PlanningProblem; query: PlanQuery; axes: SweepGrid }

/** What a thread is given: the structure as JSON. As a value, one of 100,000 layers would take this thread a second to hand over. */
export interface SentWork {
  work: Work
  structure: Uint8Array
}

async function sent(work: Work): Promise<SentWork> {
  const { structure, ...rest } = work.problem
  const short = { ...structure, layers: [], boundaries: [] }
  const json = Buffer.concat(await jsonInTurns(structure))
  return { work: { ...work, problem: { ...rest, structure: short } }, structure: json }
}

/** The work of a thread's message. */
export function received({ work, structure }: SentWork): Work {
  const whole = JSON.parse(Buffer.from(structure).toString()) as PlanningProblem['structure']
  return { ...work, problem: { ...work.problem, structure: whole } }
}

export interface Solutions {
  chain: Optimum & { sensitivity?: SensitivityChange[] }
  graph: GraphOptimum
  sweep: Sweep
}

/** Default time limit in ms of a question in the chain view. Most Pareto fronts need less than a tenth of it. */
const CHAIN_LIMIT_MS = 30_000

/** @param now returns the time in ms. @throws ScissionError as the optimiser does. */
export function solve(work: Work, now = () => performance.now()): Solutions[Work['kind']] {
  if (work.kind === 'graph') return optimiseGraph(work.problem, work.query, now)
  if (work.kind === 'sweep') return sweep(work.problem, work.query, work.axes)
  const query = { ...work.query, timeLimitMs: work.query.timeLimitMs ?? CHAIN_LIMIT_MS }
  const optimum = optimise(work.problem, query, now)
  if (!query.sensitivity) return optimum
  return { ...optimum, sensitivity: sensitivityOf(work.problem, query, optimum) }
}

class OutOfTime extends Error {}

/** So many times its limit a question may take in place if the process hardly gets the CPU. */
const MAX_STRETCH = 5

/**
 * Solves within a time limit, of which only time counts that this process worked. On a busy machine short questions
 * outlasted it waiting for the CPU, and began again on the thread, which had to wait for it too: 5 ms of work took 200 to
 * 400 ms. It gives up at the optimiser's first look at the clock after the limit, so a result that the limit cut short is
 * never mistaken for an answer.
 * @param ms the limit. @returns undefined if solving takes longer. @throws ScissionError as the optimiser does.
 */
function solveWithin(ms: number, work: Work): Solutions[Work['kind']] | undefined {
  const begin = performance.now()
  const before = process.cpuUsage()
  const workedMs = () => {
    const { user, system } = process.cpuUsage(before)
    return (user + system) / 1000
  }
  const clock = () => {
    const time = performance.now()
    const tookMs = time - begin
    // The other threads of the process count too: so it never gives up later than its own work says.
    if (tookMs >= MAX_STRETCH * ms || (tookMs >= ms && workedMs() >= ms)) throw new OutOfTime()
    return time
  }
  try {
    return solve(work, clock)
  } catch (error) {
    if (error instanceof OutOfTime) return undefined
    throw error
  }
}

/** To bring more into the optimiser's form takes longer than a short question may. */
const MAX_SHORT_LAYERS = 4000

/** Plans of the chain view take milliseconds; fronts, the graph view, maps, sensitivity and huge models may take seconds. */
function isLong(work: Work): boolean {
  const { kind, query, problem } = work
  if (problem.structure.layers.length > MAX_SHORT_LAYERS) return true
  return kind !== 'chain' || query.pareto !== undefined || query.sensitivity === true
}
