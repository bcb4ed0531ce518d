/** Maps of the best plan over conditions: for programs a row for each cell, for people letters between scales. Pure. */
import colour from 'picocolors'
import type { SweepAnswer } from '../../shared/contracts/plan-sweep.ts'
import { type Table, tableOf, tableText } from '../terminal/table.ts'
import { terminalWidth } from '../terminal/wrap.ts'
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
const GAP = '  '

/**
 * Formats a map: one letter per cell stands for a plan. The last axis runs to the right, the one before it downwards, both with
 * their values; of three axes there is a map for each value of the first. A map that is wider than the terminal is drawn in parts,
 * one below the other.
 * @param width of the terminal.
 */
export function sweepText(answer: SweepAnswer, width = terminalWidth()): string {
  const { axes, plans, notes } = answer
  const [before, last] = [axes.at(-2), axes.at(-1)]
  const columns = last?.values.length ?? 1
  const room = Math.max(MARK_EVERY, Math.floor((width - BESIDE - GAP.length) / MARK_EVERY) * MARK_EVERY)
  const parts = Number.isFinite(room) ? Math.ceil(columns / room) : 1
  return [
    `to the right: ${rangeText(last)}${before ? `; downwards: ${axisName(before.vary)}` : ''}; ".": no plan` +
      (plans.length > LETTERS.length ? '; "?": another plan' : ''),
    ...Array.from({ length: parts }, (_, part) => {
      const [from, to] = parts === 1 ? [0, columns] : [part * room, (part + 1) * room]
      return partText(answer, from, to).join('\n')
    }),
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

/** Columns [from, to) of a map, with the scale below them. */
function partText({ axes, cells }: SweepAnswer, from: number, to: number): string[] {
  const [before, last] = [axes.at(-2), axes.at(-1)]
  const columns = last?.values.length ?? 1
  const down: readonly (string | number)[] = before?.values ?? ['']
  const outer = axes.length > 2 ? axes[0] : undefined
  const rows = Array.from({ length: cells.length / columns }, (_, at) => {
    const row = cells.slice(at * columns, (at + 1) * columns).slice(from, to)
    const line = `${axisValue(down[at % down.length]).padStart(BESIDE)}${GAP}${row.map(letterOf).join('')}`
    if (!outer || at % down.length > 0) return line
    return `  ${axisName(outer.vary)}: ${axisValue(outer.values[at / down.length])}\n${line}`
  })
  return [...rows, ...scaleOf((last?.values ?? []).slice(from, to))]
}

/** Below so many values a scale names the first only. */
const FEW = 6

function rangeText(axis: SweepAnswer['axes'][number] | undefined): string {
  if (!axis) return ''
  const values = axis.values.map(axisValue)
  const range = values.length <= FEW ? `: ${values.join(', ')}` : ` from ${values[0]} to ${values.at(-1)}`
  return `${axisName(axis.vary)}${range}`
}

const letterOf = (plan: number) => (plan < 0 ? '.' : (LETTERS[plan] ?? '?'))

/** Marks below a map, and the values at them; of a few values each stands below its column, or below the one before. */
function scaleOf(values: readonly (string | number)[]): string[] {
  const marks = values.map((_, at) => (at % MARK_EVERY === 0 ? '|' : ' ')).join('')
  const texts = values
    .filter((_, at) => at % MARK_EVERY === 0)
    .map((value) => axisValue(value).padEnd(MARK_EVERY))
  const indent = ' '.repeat(BESIDE) + GAP
  return [`${indent}${marks}`.trimEnd(), `${indent}${texts.join('')}`.trimEnd()]
}
