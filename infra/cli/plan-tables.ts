/** Formats plans and maps for a terminal. Pure: values in, text out. */
import colour from 'picocolors'
import type { GraphPlan, GraphPlanAnswer } from '../../shared/contracts/graph-plan.ts'
import type { Intervals, Plan, PlanAnswer } from '../../shared/contracts/plan.ts'
import type { ExplainedAnswer, SensitivityChange, SweepAnswer } from '../../shared/contracts/plan-sweep.ts'
import { formatBytes, formatMbps, formatMs } from '../terminal/format.ts'
import { renderTable } from '../terminal/table.ts'

/** A plan of the chain view or the graph view. */
type AnyPlan = Plan | GraphPlan
type AnyAnswer = Pick<PlanAnswer, 'why' | 'gap' | 'leftOut' | 'notes'> & {
  plans: readonly AnyPlan[]
  native: readonly AnyPlan[]
} & ({ view: GraphPlanAnswer['view'] } | { considered: number })
type Bounds = Intervals['bottleneckMs']

const fromNumbers = (plan: { emulated: boolean }) => (plan.emulated ? colour.yellow('emulated') : 'measured')

/** Describes a plan in one line: which resource runs which layers, and the codec of each transfer. */
export function describePlan(plan: Plan): string {
  const stages = plan.stages.map(({ resource, from, to, options }, index) => {
    const codec = plan.transfers.find((transfer) => transfer.to === resource)?.codec ?? 'none'
    const arrow = index === 0 ? '' : ' → '
    const encoded = codec === 'none' ? arrow : ` –${codec}→ `
    const how = options ? ` ${options.threads} thread ${options.optimisation}` : ''
    return `${encoded}${plan.native ? `all on ${resource}` : `${resource} [${from},${to})`}${how}`
  })
  return stages.join('').trim()
}

/** Columns that not all answers have. */
interface Columns {
  energy: boolean
  price: boolean
  loss: boolean
}

function columnsOf(plans: readonly AnyPlan[]): Columns {
  return {
    energy: plans.some((plan) => plan.energyJ !== undefined),
    price: plans.some((plan) => plan.price !== undefined),
    loss: plans.some((plan) => lossOf(plan) > 0),
  }
}

/** Plans of the graph view use no codecs, so they have no accuracy loss. */
const lossOf = (plan: AnyPlan): number => ('accuracyLoss' in plan ? plan.accuracyLoss : 0)

function planTable(plans: readonly AnyPlan[], columns: Columns): string {
  const head = ['', 'plan (layers)', 'predicted', '95 % within', 'compute', 'transfer', 'moved']
  const more = [
    ...(columns.energy ? ['energy'] : []),
    ...(columns.price ? ['price'] : []),
    ...(columns.loss ? ['accuracy loss'] : []),
  ]
  const rows = plans.map((plan, index) => [
    index + 1,
    'deployable' in plan ? describeGraphPlan(plan) : describePlan(plan),
    formatMs(plan.predictedMs),
    intervalText(plan),
    formatMs(plan.computeMs),
    formatMs(plan.transferMs),
    formatBytes(Math.round(plan.bytes)),
    ...(columns.energy ? [figure(plan.energyJ, plan.intervals.energyJ, ' J')] : []),
    ...(columns.price ? [figure(plan.price, plan.intervals.price, '')] : []),
    ...(columns.loss ? [`≤${(100 * lossOf(plan)).toFixed(1)} %`] : []),
    fromNumbers(plan),
  ])
  return renderTable([...head, ...more, 'from numbers'], rows)
}

const intervalText = ({ interval: { lowMs, highMs } }: AnyPlan): string =>
  lowMs === highMs ? 'not known' : `${formatMs(lowMs)} – ${formatMs(highMs)}`

/** `0.213 J (0.2–0.25)`. */
function figure(value: number | undefined, bounds: Bounds | undefined, unit: string): string {
  if (value === undefined) return ''
  const text = (number: number) => number.toPrecision(3)
  const isKnown = bounds !== undefined && bounds.low < bounds.high
  return `${text(value)}${unit}${isKnown ? ` (${text(bounds.low)}–${text(bounds.high)})` : ''}`
}

/** The best plans, the sentence that says why the first one wins, and warnings about the numbers. */
export function plansText(answer: AnyAnswer): string {
  const { plans, native, why, gap } = answer
  const isGraph = 'view' in answer
  const stopped = isGraph ? 'not searched to the end' : 'time limit reached'
  return [
    planTable(plans, columnsOf([...plans, ...native])),
    why,
    ...(gap ? [`${stopped}: a better plan may save up to ${(100 * gap).toFixed(1)} %`] : []),
    ...warningsIn(plans).map((warning) => colour.yellow(`warning: ${warning}`)),
  ].join('\n')
}

function warningsIn(plans: readonly AnyPlan[]): string[] {
  return [...new Set(plans.flatMap((plan) => plan.warnings))]
}

/** Native baselines, resources that could not be used, and notes on emulation. */
export function baselinesText(answer: AnyAnswer): string {
  return [
    colour.bold('native baselines: all layers on one machine, constraints aside'),
    planTable(answer.native, columnsOf([...answer.plans, ...answer.native])),
    ...leftOutLines(answer),
  ].join('\n')
}

function leftOutLines({ leftOut, notes }: Pick<PlanAnswer, 'leftOut' | 'notes'>): string[] {
  return [
    ...leftOut.map(({ resource, reason }) => `left out: ${resource}: ${reason}`),
    ...notes.map((note) => colour.yellow(note)),
  ]
}

/** Served times of the profiles, and the change of each condition that would make another plan the best. */
export function besideText({ served, sensitivity }: Pick<ExplainedAnswer, 'served' | 'sensitivity'>): string {
  const scales = served.map(
    ({ resource, scale, samples }) =>
      `served: stages on ${resource} took ${scale.toFixed(2)} times their predicted compute time (${samples} runs)`,
  )
  if (!sensitivity) return scales.join('\n')
  const rows = sensitivity.map((change) => [
    conditionText(change),
    valueText(change, change.from),
    `${change.direction === 'lower' ? 'below' : 'above'} ${change.exact ? '' : '≈'}${valueText(change, change.at)}`,
    change.planId === null ? 'no plan' : change.resources.join(' → '),
  ])
  const title = colour.bold('another plan takes over when')
  const table = rows.length > 0 ? renderTable(['condition', 'now', 'becomes', 'then best'], rows) : '  never'
  return [...scales, title, table].join('\n')
}

const conditionText = ({ what, link, resource }: SensitivityChange): string =>
  `${what === 'rtt' ? 'round trip' : what} of ${link ? `${link.from} → ${link.to}` : resource}`

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

const LETTERS = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz'

/** Formats a map: one letter per cell stands for a plan. The last axis runs to the right, the one before it downwards. */
export function sweepText(answer: SweepAnswer): string {
  const width = answer.axes.at(-1)?.values.length ?? 1
  const letterOf = (plan: number) => (plan < 0 ? '.' : (LETTERS[plan] ?? '?'))
  const down = answer.axes.at(-2)?.values ?? ['']
  const lines: string[] = []
  for (let start = 0; start < answer.cells.length; start += width) {
    const row = answer.cells.slice(start, start + width).map(letterOf)
    lines.push(`  ${String(down[(start / width) % down.length]).padStart(10)}  ${row.join('')}`)
  }
  const rows = answer.plans.map((plan, index) => [
    letterOf(index),
    plan.native
      ? `all on ${plan.stages[0]?.resource}`
      : plan.stages.map(({ resource, from, to }) => `${resource} [${from},${to})`).join(' → '),
    plan.cells,
  ])
  const last = answer.axes.at(-1)
  const values = last ? `${last.vary} from ${last.values[0]} to ${last.values.at(-1)}` : ''
  const before = answer.axes.at(-2)
  return [
    `to the right: ${values}${before ? `; downwards: ${before.vary}` : ''}; ".": no plan`,
    ...lines,
    renderTable(['', 'best plan (layers)', 'cells'], rows),
    ...answer.notes.map((note) => colour.yellow(note)),
  ].join('\n')
}
