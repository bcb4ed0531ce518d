/** What an experiment found: medians with their intervals, and ratios to the first query. Pure. */
import type { Experiment, ExperimentRow } from '../../shared/contracts/experiment.ts'
import { generator } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { median, quantile } from '../../shared/platform/statistics.ts'

export interface Estimate {
  median: number
  /** 95 % interval of the median, by the bootstrap. Absent with fewer than six values, which cannot have one. */
  low?: number
  high?: number
}

export interface SummaryRow {
  model: string
  query: string
  requests: number
  latencyMs: Estimate
  predictedMs: number
  /** Share of the requests within the interval that was predicted for them. */
  inside: number
  /** Latency over that of the first query in the same repetition. Absent for the first. */
  ratio?: Estimate & { pairs: number }
}

const RESAMPLES = 2000
const TAIL = 0.025
/** The smallest and the largest of five values enclose the median of their source in less than 95 % of cases. */
const LEAST_VALUES = 6

/** Draws as many values as there are, with replacement, again and again (Efron, Annals of Statistics 7, 1979). */
export function medianEstimate(values: readonly number[], seed: number): Estimate {
  if (values.length < LEAST_VALUES) return { median: median(values) }
  const random = generator(seed)
  const sorted = Float64Array.from(values).sort()
  const counts = new Uint32Array(sorted.length)
  const medians = Array.from({ length: RESAMPLES }, () => {
    counts.fill(0)
    for (let drawn = 0; drawn < sorted.length; drawn += 1) counts[Math.floor(random() * sorted.length)]! += 1
    return medianOf(sorted, counts)
  })
  return { median: median(values), low: quantile(medians, TAIL), high: quantile(medians, 1 - TAIL) }
}

/** @param counts how often each value was drawn; together as often as there are values. */
function medianOf(sorted: Float64Array, counts: Uint32Array): number {
  const [lower, upper] = [Math.floor((sorted.length - 1) / 2), Math.floor(sorted.length / 2)]
  let seen = 0
  let low = Number.NaN
  for (const [at, count] of counts.entries()) {
    seen += count
    if (Number.isNaN(low) && seen > lower) low = sorted[at]!
    if (seen > upper) return (low + sorted[at]!) / 2
  }
  return low
}

/** A row for each model and query that has been asked, in the order of the experiment. */
export function summaryOf(
  { models, queries, seed }: Pick<Experiment, 'models' | 'queries' | 'seed'>,
  rows: readonly ExperimentRow[],
): SummaryRow[] {
  return models.flatMap((model) => {
    const of = (label: string) => rows.filter((row) => row.model === model && row.query === label)
    const first = new Map(of(queries[0]?.label ?? '').map((row) => [row.repetition, row.latencyMs]))
    return queries.flatMap(({ label }, index): SummaryRow[] => {
      const own = of(label)
      if (own.length === 0) return []
      const pairs = own.flatMap(({ repetition, latencyMs }) => {
        const base = first.get(repetition)
        return base === undefined ? [] : [latencyMs / base]
      })
      return [
        {
          model,
          query: label,
          requests: own.length,
          latencyMs: medianEstimate(
            own.map(({ latencyMs }) => latencyMs),
            seed,
          ),
          predictedMs: median(own.map(({ predictedMs }) => predictedMs)),
          inside: own.filter(({ inside }) => inside).length / own.length,
          ...(index > 0 &&
            pairs.length > 0 && { ratio: { ...medianEstimate(pairs, seed), pairs: pairs.length } }),
        },
      ]
    })
  })
}
