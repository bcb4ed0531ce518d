/** Formats plans and maps for a terminal. Pure: values in, text out. */
import colour from 'picocolors'
import type { GraphPlan, GraphPlanAnswer } from '../../shared/contracts/graph-plan.ts'
import type { Intervals, Plan, PlanAnswer, Transfer } from '../../shared/contracts/plan.ts'
import type { ExplainedAnswer, SensitivityChange } from '../../shared/contracts/plan-sweep.ts'
import { isLoopback } from '../../shared/platform/loopback.ts'
import { bytesColumn, type Cell, type Column, msColumn, painted } from '../terminal/columns.ts'
import { formatMbps, formatMs, formatShare } from '../terminal/format.ts'
import { type Table, tableOf, tableText } from '../terminal/table.ts'

/** A plan of the chain view or the graph view. */
type AnyPlan = Plan | GraphPlan
export type AnyAnswer = Pick<PlanAnswer, 'why' | 'gap' | 'leftOut' | 'notes'> & {
  plans: readonly AnyPlan[]
  native: readonly AnyPlan[]
} & ({ view: GraphPlanAnswer['view'] } | { considered: number })
type Bounds = Intervals['bottleneckMs']

/** Parts of a chain plan that its description needs; the plans of a map have no codecs. */
interface DescribedPlan {
  native: boolean
  stages: readonly Pick<Plan['stages'][number], 'resource' | 'from' | 'to' | 'options'>[]
  transfers?: readonly Pick<Transfer, 'to' | 'codec'>[]
}

/** Describes a plan in one line: which resource runs which layers, and the codec of each transfer. */
export function describePlan({ native, stages, transfers }: DescribedPlan): string {
  const parts = stages.map(({ resource, from, to, options }, index) => {
    const codec = transfers?.find((transfer) => transfer.to === resource)?.codec ?? 'none'
    const arrow = index === 0 ? '' : ' → '
    const encoded = codec === 'none' ? arrow : ` –${codec}→ `
    const how = options ? ` ${options.threads} thread ${options.optimisation}` : ''
    return `${encoded}${native ? `all on ${resource}` : `${resource} [${from},${to})`}${how}`
  })
  return parts.join('').trim()
}

/** Plans of the graph view use no codecs, so they have no accuracy loss. */
const lossOf = (plan: AnyPlan): number => ('accuracyLoss' in plan ? plan.accuracyLoss : 0)

/** @param answer to which the plans belong: its tables have the same columns. */
function planTable(plans: readonly AnyPlan[], answer: AnyAnswer): Table {
  return tableOf(plans, { '#': (_, index) => index + 1, ...planColumns(answer) }, { expendable: EXPENDABLE })
}

/** Found plans and native baselines in one table. */
export function everyPlanTable(answer: AnyAnswer): Table {
  const rows = [
    ...answer.plans.map((plan) => ({ plan, list: 'plan' })),
    ...answer.native.map((plan) => ({ plan, list: 'native baseline' })),
  ]
  const columns = Object.entries(planColumns(answer)).map(([head, column]) => {
    const cell = typeof column === 'function' ? column : column.cell
    const ofRow = ({ plan }: { plan: AnyPlan }, index: number) => cell(plan, index)
    return [head, typeof column === 'function' ? ofRow : { unit: column.unit, cell: ofRow }] as const
  })
  return tableOf(rows, {
    list: ({ list }) => list,
    id: ({ plan }) => plan.id ?? '',
    ...Object.fromEntries(columns),
  })
}

export const onePlanTable = (plan: Plan): Table =>
  tableOf([plan], planColumns({ plans: [plan], native: [] }), { expendable: EXPENDABLE })

const EXPENDABLE = ['transfer', 'compute', 'sent', '#', '95 % within', 'numbers']

function planColumns(answer: Pick<AnyAnswer, 'plans' | 'native'>): Record<string, Column<AnyPlan>> {
  const all = [...answer.plans, ...answer.native]
  return {
    'plan (layers)': (plan) => ('deployable' in plan ? describeGraphPlan(plan) : describePlan(plan)),
    predicted: msColumn(({ predictedMs }) => predictedMs),
    '95 % within': { unit: 'ms', cell: intervalCell },
    compute: msColumn(({ computeMs }) => computeMs),
    transfer: msColumn(({ transferMs }) => transferMs),
    sent: bytesColumn(({ bytes }) => bytes),
    ...(all.some(({ energyJ }) => energyJ !== undefined) && {
      energy: figureColumn(
        'J',
        ({ energyJ }) => energyJ,
        ({ intervals }) => intervals.energyJ,
      ),
    }),
    ...(all.some(({ price }) => price !== undefined) && {
      price: (plan: AnyPlan) => figure(plan.price, plan.intervals.price, ''),
    }),
    ...(all.some((plan) => lossOf(plan) > 0) && {
      'accuracy loss': (plan: AnyPlan) => ({ text: `≤${formatShare(lossOf(plan))}`, value: lossOf(plan) }),
    }),
    numbers: numbersCell,
  }
}

/** What the figures of a plan are: measured, unless something behind them is emulated, given or imported. */
function numbersCell({ emulated, sources = ['measured'] }: AnyPlan): Cell {
  const named = emulated ? sources.filter((source) => source !== 'measured') : sources
  const text = [...(emulated ? ['emulated'] : []), ...named].join(', ')
  return painted(text, emulated ? colour.yellow : String)
}

const intervalCell = ({ interval: { lowMs, highMs } }: AnyPlan) => ({
  text: lowMs === highMs ? 'not known' : `${formatMs(lowMs)} – ${formatMs(highMs)}`,
  value: lowMs === highMs ? '' : `${lowMs}..${highMs}`,
})

const figureColumn = (
  unit: string,
  value: (plan: AnyPlan) => number | undefined,
  boundsOf: (plan: AnyPlan) => Bounds | undefined,
): Column<AnyPlan> => ({ unit, cell: (plan) => figure(value(plan), boundsOf(plan), ` ${unit}`) })

/** `0.213 J (0.2–0.25)`. */
function figure(value: number | undefined, bounds: Bounds | undefined, unit: string): Cell {
  if (value === undefined) return ''
  const text = (number: number) => number.toPrecision(3)
  const isKnown = bounds !== undefined && bounds.low < bounds.high
  return {
    text: `${text(value)}${unit}${isKnown ? ` (${text(bounds.low)}–${text(bounds.high)})` : ''}`,
    value,
  }
}

/** The best plans, the sentence that says why the first one wins, and warnings about the numbers. */
export function plansText(answer: AnyAnswer): string {
  const { plans, why, gap } = answer
  const stopped = 'view' in answer ? 'not searched to the end' : 'time limit reached'
  const warnings = new Set(plans.flatMap((plan) => plan.warnings))
  return [
    tableText(planTable(plans, answer)),
    ...plans.slice(0, 1).flatMap(typicalText),
    why,
    ...(gap ? [`${stopped}: a better plan may save up to ${formatShare(gap)}`] : []),
    ...[...warnings].map((warning) => colour.yellow(`warning: ${warning}`)),
  ].join('\n')
}

/** `the first: 8.40 ms (6.50 ms – 10.1 ms for one request: what moves it most is the pace of 10.0.0.7, ± 1.60 ms)` */
function typicalText({ predictedMs, interval: { lowMs, highMs }, moves }: AnyPlan): string[] {
  const most = moves.reduce<AnyPlan['moves'][number] | undefined>(
    (found, one) => (found && found.requestMs >= one.requestMs ? found : one),
    undefined,
  )
  if (!most || most.requestMs === 0) return []
  const what = moverText(most.what)
  const range = `${formatMs(lowMs)} – ${formatMs(highMs)}`
  return [
    `the first: ${formatMs(predictedMs)} (${range} for one request: what moves it most is ${what}, ± ${formatMs(most.requestMs)})`,
  ]
}

function moverText(what: string): string {
  if (what.includes('>')) return `the link ${what.replace('>', ' → ')}`
  if (what.startsWith('quota of ')) return `the ${what}`
  // Services that call each other by a loopback address run on one.
  return `the pace of ${isLoopback(what) ? 'the computer on which they run' : what}`
}

/** Native baselines, resources that could not be used, and notes on emulation. */
export function baselinesText(answer: AnyAnswer): string {
  return [
    colour.bold('native baselines: all layers on one machine, constraints aside'),
    tableText(planTable(answer.native, answer)),
    ...answer.leftOut.map(({ resource, reason }) => `left out: ${resource}: ${reason}`),
    ...answer.notes.map((note) => colour.yellow(note)),
  ].join('\n')
}

/** Served times of the profiles, and the change of each condition that would make another plan the best. */
export function besideText({ served, sensitivity }: Pick<ExplainedAnswer, 'served' | 'sensitivity'>): string {
  const scales = served.map(
    ({ resource, scale, samples }) =>
      `served: stages on ${resource} took ${scale.toFixed(2)} times their predicted compute time (${samples} runs)`,
  )
  if (!sensitivity) return scales.join('\n')
  const table = tableOf(sensitivity, {
    condition: ({ what, link, resource }) =>
      `${what === 'rtt' ? 'round trip' : what} of ${link ? `${link.from} → ${link.to}` : resource}`,
    now: (change) => valueText(change, change.from),
    becomes: (change) =>
      `${change.direction === 'lower' ? 'below' : 'above'} ${change.exact ? '' : '≈'}${valueText(change, change.at)}`,
    'then best': ({ planId, resources }) => (planId === null ? 'no plan' : resources.join(' → ')),
  })
  const title = colour.bold('another plan takes over when')
  return [...scales, title, sensitivity.length > 0 ? tableText(table) : '  never'].join('\n')
}

function valueText({ what }: SensitivityChange, value: number): string {
  if (what === 'bandwidth') return formatMbps(value)
  return what === 'rtt' ? formatMs(value) : `${value.toPrecision(3)}x`
}

/** Maximum number of layer ranges shown for one stage. */
const SHOWN_RANGES = 4

function describeGraphPlan(plan: GraphPlan): string {
  if (plan.native) return `all on ${plan.stages[0]?.resource}`
  const stages = plan.stages.map(({ resource, layers }) => {
    const shown = layers.slice(0, SHOWN_RANGES).map(([from, to]) => `[${from},${to})`)
    const more = layers.length > SHOWN_RANGES ? ` and ${layers.length - SHOWN_RANGES} more` : ''
    return `${resource} ${shown.join('')}${more}`
  })
  return stages.join(' → ') + (plan.deployable ? '' : ' (not a chain)')
}
