/** Tables of an experiment: every request, and the summary. Pure. */
import type { ExperimentRow } from '../../shared/contracts/experiment.ts'
import { msColumn, shareColumn } from '../terminal/columns.ts'
import { formatMs } from '../terminal/format.ts'
import { type Table, tableOf } from '../terminal/table.ts'
import type { Estimate, SummaryRow } from './summary.ts'

/** One row for each request, with columns for as many hops as any has. */
export function requestsTable(rows: readonly ExperimentRow[]): Table {
  const hops = Math.max(0, ...rows.map((row) => row.hops.length))
  const ofHops = Array.from({ length: hops }, (_, at) => ({
    [`hop ${at}`]: ({ hops }: ExperimentRow) => hops[at]?.resource ?? '',
    [`layers ${at}`]: ({ hops }: ExperimentRow) => hops[at]?.layers ?? '',
    [`compute ${at}`]: msColumn(({ hops }: ExperimentRow) => hops[at]?.computeMs),
    [`CPU ${at}`]: msColumn(({ hops }: ExperimentRow) => hops[at]?.cpuMs),
    [`queue ${at}`]: msColumn(({ hops }: ExperimentRow) => hops[at]?.queueMs),
    [`waited ${at}`]: msColumn(({ hops }: ExperimentRow) => hops[at]?.waitedMs),
    [`transfer ${at}`]: msColumn(({ hops }: ExperimentRow) => hops[at]?.transferMs),
    [`other cores ${at}`]: ({ hops }: ExperimentRow) => hops[at]?.otherCores ?? '',
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

const within = ({ low, high }: Estimate, text: (value: number) => string) => ({
  text: `${text(low)} – ${text(high)}`,
  value: `${low}..${high}`,
})
const ratioText = (value: number) => value.toPrecision(3)

export const summaryTable = (rows: readonly SummaryRow[]): Table =>
  tableOf(
    rows,
    {
      model: ({ model }) => model,
      query: ({ query }) => query,
      requests: ({ requests }) => requests,
      median: msColumn(({ latencyMs }) => latencyMs.median),
      'of it 95 % within': { unit: 'ms', cell: ({ latencyMs }) => within(latencyMs, formatMs) },
      predicted: msColumn(({ predictedMs }) => predictedMs),
      'inside its interval': shareColumn(({ inside }) => inside),
      'to the first': ({ ratio }) => (ratio ? { text: ratioText(ratio.median), value: ratio.median } : ''),
      'ratio 95 % within': ({ ratio }) => (ratio ? within(ratio, ratioText) : ''),
    },
    { ifEmpty: 'nothing was measured', expendable: ['predicted', 'requests'] },
  )
