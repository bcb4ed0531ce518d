/** Maps of the best plan over conditions: for programs a row for each cell, for people letters between scales. Pure. */
import colour from 'picocolors'
import type { SweepAnswer } from '../../shared/contracts/plan-sweep.ts'
import { type Table, tableOf, tableText } from '../terminal/table.ts'
import { describePlan } from './plan-tables.ts'

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** With units; the sum of `weights` has none. */
const OBJECTIVE_HEADS: Readonly<Record<string, string>> = {
  latency: 'latency (ms)',
  throughput: 'slowest step (ms)',
  bytes: 'sent (bytes)',
  energy: 'energy (J)',
}

/** A cell of a map for programs: its conditions, and the plan that is best there. */
export function mapTable({ axes, cells, plans, values, objective }: SweepAnswer): Table {
  const rows = cells.map((plan, index) => ({ plan: plans[plan], value: values[index], index }))
  const columns = axes.map((axis, at) => {
    // The last axis runs fastest.
    const size = axes.slice(at + 1).reduce((product, { values }) => product * values.length, 1)
    const value = ({ index }: { index: number }) =>
      axis.values[Math.floor(index / size) % axis.values.length] ?? ''
    return [axisName(axis.vary), value] as const
  })
  return tableOf(rows, {
    ...Object.fromEntries(columns),
    'best plan (layers)': ({ plan }) => (plan ? describePlan(plan) : ''),
    [OBJECTIVE_HEADS[objective] ?? objective]: ({ value }) => value ?? '',
  })
}

/** `bandwidth (Mbit/s)`: as people call what an axis varies. */
const axisName = (vary: string): string => AXIS_NAMES[vary] ?? vary
const AXIS_NAMES: Readonly<Record<string, string>> = {
  bandwidthMbps: 'bandwidth (Mbit/s)',
  rttMs: 'round trip (ms)',
}

const axisValue = (value: string | number | undefined): string =>
  typeof value === 'number' ? String(Number(value.toPrecision(3))) : (value ?? '')

/** Columns of cells between two marks of the scale, so that their values have room. */
const MARK_EVERY = 10
const BESIDE = 12

/**
 * Formats a map: one letter per cell stands for a plan. The last axis runs to the right, the one before it downwards, both with
 * their values; of three axes there is a map for each value of the first.
 */
export function sweepText(answer: SweepAnswer): string {
  const { axes, cells, plans, notes } = answer
  const [before, last] = [axes.at(-2), axes.at(-1)]
  const width = last?.values.length ?? 1
  const down: readonly (string | number)[] = before?.values ?? ['']
  const lines: string[] = []
  for (let start = 0; start < cells.length; start += width) {
    const row = cells.slice(start, start + width).map(letterOf)
    const at = start / width
    const outer = axes.length > 2 ? axes[0] : undefined
    if (outer && at % down.length === 0)
      lines.push(`  ${axisName(outer.vary)}: ${axisValue(outer.values[at / down.length])}`)
    lines.push(`  ${axisValue(down[at % down.length]).padStart(BESIDE - 2)}  ${row.join('')}`)
  }
  const values = last
    ? `${axisName(last.vary)} from ${axisValue(last.values[0])} to ${axisValue(last.values.at(-1))}`
    : ''
  return [
    `to the right: ${values}${before ? `; downwards: ${axisName(before.vary)}` : ''}; ".": no plan`,
    ...lines,
    ...scaleOf(last?.values ?? []),
    tableText(
      tableOf(plans, {
        map: (_, index) => letterOf(index),
        'best plan (layers)': describePlan,
        cells: ({ cells: count }) => count,
      }),
    ),
    ...notes.map((note) => colour.yellow(note)),
  ].join('\n')
}

const letterOf = (plan: number) => (plan < 0 ? '.' : (LETTERS[plan] ?? '?'))

/** Marks below a map, and the values at them; of a few values each stands below its column, or below the one before. */
function scaleOf(values: readonly (string | number)[]): string[] {
  const marks = values.map((_, at) => (at % MARK_EVERY === 0 ? '|' : ' ')).join('')
  const texts = values
    .filter((_, at) => at % MARK_EVERY === 0)
    .map((value) => axisValue(value).padEnd(MARK_EVERY))
  const indent = ' '.repeat(BESIDE + 2)
  return [`${indent}${marks}`.trimEnd(), `${indent}${texts.join('')}`.trimEnd()]
}
