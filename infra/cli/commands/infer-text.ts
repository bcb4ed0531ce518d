/** What `scission infer` prints. */
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { decodeElements } from '../../../shared/oip/bytes-elements.ts'
import { OWN_PREFIX } from '../../../shared/oip/parameters.ts'
import { tensorValues } from '../../../shared/tensors/tensor-values.ts'
import { bytesColumn, msColumn } from '../../terminal/columns.ts'
import { formatMs, formatShape, threeDigits } from '../../terminal/format.ts'
import { type Table, tableOf, tableText } from '../../terminal/table.ts'
import type { RepeatTimes } from './infer-repeats.ts'

type Parameter = string | number | boolean

export interface Inferred {
  /** Of the last request. */
  elapsedMs: number
  times?: RepeatTimes
  parameters: Record<string, Parameter>
  outputs: (Pick<Tensor, 'name' | 'datatype' | 'shape'> & { values: (number | string)[] })[]
  files?: string[]
}

/** Maximum number of elements shown of each output. */
const SHOWN = 8

export function shownOutput(output: Tensor): Inferred['outputs'][number] {
  const { name, datatype, shape, bytes } = output
  const values =
    datatype === 'BYTES'
      ? decodeElements(bytes, `output '${name}'`).map((element) => Buffer.from(element).toString('utf8'))
      : Array.from(tensorValues(output))
  return { name, datatype, shape, values }
}

export const outputsTable = ({ outputs }: Inferred): Table =>
  tableOf(outputs, {
    output: ({ name }) => name,
    type: ({ datatype }) => datatype,
    shape: ({ shape }) => formatShape(shape),
    'first values': ({ values }) => ({
      text: values.slice(0, SHOWN).map(valueText).join(' '),
      value: values.slice(0, SHOWN).join(' '),
    }),
  })

/** Of many requests: how long each took. */
export const timesTable = ({ samplesMs }: RepeatTimes): Table =>
  tableOf(samplesMs, { request: (_, index) => index, latency: msColumn((ms) => ms) })

const valueText = (value: number | string) =>
  typeof value === 'string' ? value : Number.isInteger(value) ? String(value) : value.toPrecision(4)

export function inferredText({ elapsedMs, times, parameters, files = [] }: Inferred, outputs: Table): string {
  return [
    tableText(outputs),
    times ? timesText(times) : `took ${formatMs(elapsedMs)}`,
    ...hopsText(parameters),
    ...files.map((file) => `wrote ${file}`),
  ].join('\n')
}

function timesText({ requests, concurrency, requestsPerSecond, ...times }: RepeatTimes): string {
  const at = concurrency > 1 ? `, ${concurrency} at a time` : ''
  const percentiles = [
    `fastest ${formatMs(times.minMs)}`,
    `90 % within ${formatMs(times.p90Ms)}`,
    `95 % within ${formatMs(times.p95Ms)}`,
    `99 % within ${formatMs(times.p99Ms)}`,
    `slowest ${formatMs(times.maxMs)}`,
  ]
  return [
    `${requests} requests${at}: median ${formatMs(times.medianMs)}, ${threeDigits(requestsPerSecond)} requests per second`,
    `  ${percentiles.join(', ')}`,
    `  the first took ${formatMs(times.firstMs)}`,
  ].join('\n')
}

interface Hop {
  number: string
  fields: Map<string, Parameter>
}

/** The report that the answer carries (docs/reference/requests-and-answers.md), a line for each hop. */
function hopsText(parameters: Record<string, Parameter>): string[] {
  const hops = hopsOf(parameters)
  if (hops.length === 0) return []
  const number = (field: string) => (hop: Hop) => {
    const value = hop.fields.get(field)
    return typeof value === 'number' ? value : undefined
  }
  const text = (field: string) => (hop: Hop) => String(hop.fields.get(field) ?? '')
  const columns = {
    resource: text('resource'),
    layers: text('layers'),
    compute: msColumn(number('computeMs')),
    'waited for CPU': msColumn(number('queueMs')),
    'waited to emulate': msColumn(number('waitedMs')),
    output: bytesColumn(number('bytesOut')),
    sent: bytesColumn(number('wireBytes')),
    codec: text('codec'),
    encode: msColumn(number('encodeMs')),
    decode: msColumn(number('decodeMs')),
    'until the answer': msColumn(number('nextMs')),
    'instead of': text('insteadOf'),
  }
  // Most requests have no codec and no lost peer.
  const used = Object.entries(columns).filter(([, column]) => {
    const cell = typeof column === 'function' ? column : column.cell
    return hops.some((hop) => cell(hop, 0) !== '')
  })
  const table = tableOf<Hop>(hops, Object.fromEntries(used), {
    expendable: [
      'waited to emulate',
      'waited for CPU',
      'until the answer',
      'encode',
      'decode',
      'output',
      'layers',
    ],
  })
  const isEmulated = parameters[`${OWN_PREFIX}emulated`] === true
  return [tableText(table), ...(isEmulated ? ['  these times pass through emulated speeds or links'] : [])]
}

function hopsOf(parameters: Record<string, Parameter>): Hop[] {
  const hops = new Map<string, Hop>()
  for (const [key, value] of Object.entries(parameters)) {
    const [, number, field] = /^scission_hop(\d+)_(\w+)$/.exec(key) ?? []
    if (number === undefined || field === undefined) continue
    const hop = hops.get(number) ?? { number, fields: new Map<string, Parameter>() }
    hop.fields.set(field, value)
    hops.set(number, hop)
  }
  return [...hops.values()].sort((a, b) => Number(a.number) - Number(b.number))
}
