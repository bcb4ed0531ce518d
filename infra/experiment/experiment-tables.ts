/** Tables of an experiment: every request, and the summary. Pure. */
import type { ExperimentRow } from '../../shared/contracts/experiment.ts'
import { msColumn, shareColumn } from '../terminal/columns.ts'
import { formatMs } from '../terminal/format.ts'
import { type Table, tableOf } from '../terminal/table.ts'
import type { Estimate, SummaryRow } from './summary.ts'

/** One row for each request, with columns for as many hops as any has. */
export function requestsTable(rows: readonly ExperimentRow[]): Table {
  const hops = rows.reduce((most, row) => Math.max(most, row.hops.length), 0)
  const ofHops = Array.from({ length: hops }, (_, at) => ({
    [`hop ${at}`]: ({ hops }: ExperimentRow) => hops[at]?.resource ?? '',
    [`layers ${at}`]: ({ hops }: ExperimentRow) => hops[at]?.layers ?? '',
    [`compute ${at}`]: msColumn(({ hops }: ExperimentRow) => hops[at]?.computeMs),
    [`CPU ${at}`]: msColumn(({ hops }: ExperimentRow) => hops[at]?.cpuMs),
    [`queue ${at}`]: msColumn(({ hops }: ExperimentRow) => hops[at]?.queueMs),
    [`waited ${at}`]: msColumn(({ hops }: ExperimentRow) => hops[at]?.waitedMs),
    [`transfer ${at}`]: msColumn(({ hops }: ExperimentRow) => hops[at]?.transferMs),
    [`other cores ${at}`]: ({ hops }: ExperimentRow) => hops[at]?.otherCores ?? '',
    [`instead of ${at}`]: ({ hops }: ExperimentRow) => hops[at]?.insteadOf ?? '',
  }))
  return tableOf(rows, {
    model: ({ model }) => model,
    query: ({ query }) => query,
    repetition: ({ repetition }) => repetition,
    started: msColumn(({ startedMs }) => startedMs),
    latency: msColumn(({ latencyMs }) => latencyMs),
    'service’s total': msColumn(({ totalMs }) => totalMs),
    predicted: msColumn(({ predictedMs }) => predictedMs),
    low: msColumn(({ lowMs }) => lowMs),
    high: msColumn(({ highMs }) => highMs),
    inside: ({ inside }) => (inside ? 'yes' : 'no'),
    cuts: ({ cuts }) => cuts.join(' '),
    plan: ({ plan }) => plan,
    ...Object.assign({}, ...ofHops),
  })
}

/** An end of an interval. */
const end = (value: number | undefined, text: (value: number) => string) =>
  value === undefined ? { text: 'too few', value: '' } : { text: text(value), value }
const ratioText = (value: number) => value.toPrecision(3)
const ratioEnd = (ratio: Estimate | undefined, at: 'low' | 'high') => (ratio ? end(ratio[at], ratioText) : '')

export const summaryTable = (rows: readonly SummaryRow[]): Table =>
  tableOf(
    rows,
    {
      model: ({ model }) => model,
      query: ({ query }) => query,
      requests: ({ requests }) => requests,
      median: msColumn(({ latencyMs }) => latencyMs.median),
      'from (95 %)': { unit: 'ms', cell: ({ latencyMs }) => end(latencyMs.low, formatMs) },
      'to (95 %)': { unit: 'ms', cell: ({ latencyMs }) => end(latencyMs.high, formatMs) },
      predicted: msColumn(({ predictedMs }) => predictedMs),
      'inside its interval': shareColumn(({ inside }) => inside),
      'to the first': ({ ratio }) => (ratio ? { text: ratioText(ratio.median), value: ratio.median } : ''),
      'ratio from (95 %)': ({ ratio }) => ratioEnd(ratio, 'low'),
      'ratio to (95 %)': ({ ratio }) => ratioEnd(ratio, 'high'),
    },
    { ifEmpty: 'nothing was measured', expendable: ['predicted', 'requests'] },
  )
