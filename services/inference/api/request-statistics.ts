/**
 * Counters of the statistics extension, cumulative since the start and per model version; clients take the difference of two
 * samples. Layer ranges and deployments have entries of their own.
 */
import { z } from 'zod'
import type { SharedRun } from '../serving/executor/executor.ts'
import type { Work } from '../serving/models/target.ts'

const count = z.number().int().nonnegative()
const Times = z.object({ count, ns: count }).meta({ id: 'Times' })
const BatchTimes = z
  .object({ batch_size: count, compute_input: Times, compute_infer: Times, compute_output: Times })
  .meta({ id: 'BatchTimes' })

/** What the statistics extension answers. */
export const StatisticsAnswer = z
  .object({
    model_stats: z.array(
      z
        .object({
          name: z.string(),
          version: z.string(),
          last_inference: count.describe('epoch milliseconds; 0 = never'),
          inference_count: count,
          execution_count: count,
          inference_stats: z.record(z.string(), Times),
          batch_stats: z.array(BatchTimes),
          memory_usage: z.array(z.unknown()),
        })
        .meta({ id: 'ModelStatistics' }),
    ),
  })
  .meta({ id: 'Statistics' })

export type ModelStatistics = ReturnType<typeof emptyStatistics>
type BatchStatistics = ReturnType<typeof emptyBatch>
type Duration = ReturnType<typeof zero>

/** Times of one request in ms. */
export interface RequestTimes {
  totalMs: number
  queueMs: number
  inputMs: number
  inferMs: number
  outputMs: number
}

/** Names with counters of their own; each takes about 3 kB, and 1 kB of every answer with metrics. */
const MAX_NAMES = 500
/** What is counted for the names beyond. No model is called so. */
const OTHERS = '(others)'

const idOf = (name: string, version: string): string => `${name} ${version}`

export class Statistics {
  readonly #models = new Map<string, ModelStatistics>()
  /** Shared runs that are already counted. */
  readonly #counted = new WeakSet<SharedRun>()
  #served = 0

  /** Number of requests answered since the start. */
  get served(): number {
    return this.#served
  }

  /** @param now epoch ms. @param work undefined means one item in a run of its own. */
  succeeded(
    name: string,
    version: string,
    times: RequestTimes,
    now: number,
    work: Work = { items: 1, runs: [{ size: 1 }] },
  ): void {
    const model = this.#model(name, version)
    this.#served += 1
    model.last_inference = now
    model.inference_count += work.items
    const runs = work.runs.filter((run) => !this.#counted.has(run))
    for (const run of runs) this.#countRun(model, run, times, work.runs.length)
    add(model.inference_stats.success, times.totalMs)
    add(model.inference_stats.queue, times.queueMs)
    add(model.inference_stats.compute_input, times.inputMs)
    add(model.inference_stats.compute_infer, times.inferMs)
    add(model.inference_stats.compute_output, times.outputMs)
  }

  /** @param parts number of runs over which the request's times are divided. */
  #countRun(model: ModelStatistics, run: SharedRun, times: RequestTimes, parts: number): void {
    this.#counted.add(run)
    model.execution_count += 1
    const batch = batchOf(model, run.size)
    add(batch.compute_input, times.inputMs / parts)
    add(batch.compute_infer, times.inferMs / parts)
    add(batch.compute_output, times.outputMs / parts)
  }

  /**
   * Counts a request that was answered with an error. Of a layer range that never gave an answer it counts for the model: a
   * client can make up any number of ranges.
   */
  failed(name: string, version: string, totalMs: number): void {
    const isKnown = this.#models.has(idOf(name, version))
    const [base = name] = name.split(':')
    add(this.#model(isKnown ? name : base, version).inference_stats.fail, totalMs)
  }

  /** The counters of a model, all 0 if it was never used. */
  of(name: string, version: string): ModelStatistics {
    return this.#models.get(idOf(name, version)) ?? emptyStatistics(name, version)
  }

  all(): ModelStatistics[] {
    return [...this.#models.values()]
  }

  #model(name: string, version: string): ModelStatistics {
    const id = idOf(name, version)
    const known = this.#models.get(id)
    if (known) return known
    if (this.#models.size >= MAX_NAMES && name !== OTHERS) return this.#model(OTHERS, '')
    const fresh = emptyStatistics(name, version)
    this.#models.set(id, fresh)
    return fresh
  }
}

function add(duration: Duration, ms: number): void {
  duration.count += 1
  duration.ns += Math.round(ms * 1e6)
}

function batchOf({ batch_stats }: ModelStatistics, size: number): BatchStatistics {
  const known = batch_stats.find(({ batch_size }) => batch_size === size)
  if (known) return known
  const fresh = emptyBatch(size)
  batch_stats.push(fresh)
  return fresh
}

const zero = () => ({ count: 0, ns: 0 })

const emptyBatch = (batch_size: number) => ({
  batch_size,
  compute_input: zero(),
  compute_infer: zero(),
  compute_output: zero(),
})

const emptyStatistics = (name: string, version: string) => ({
  name,
  version,
  last_inference: 0,
  inference_count: 0,
  execution_count: 0,
  inference_stats: {
    success: zero(),
    fail: zero(),
    queue: zero(),
    compute_input: zero(),
    compute_infer: zero(),
    compute_output: zero(),
    cache_hit: zero(),
    cache_miss: zero(),
  },
  /** One entry for each number of items that were computed together. */
  batch_stats: [] as BatchStatistics[],
  memory_usage: [],
})
