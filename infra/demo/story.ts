/** Texts of the run: one line per step, and tables for numbers. */
import colour from 'picocolors'
import type { UploadedModel } from '../../shared/client/benchmark.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import type { PlanAnswer } from '../../shared/contracts/plan.ts'
import { inOptions } from '../cli/commands/plan-options.ts'
import { describePlan, plansText } from '../cli/plan-tables.ts'
import { inputsText } from '../cli/tables.ts'
import { shortVerification } from '../cli/verification-text.ts'
import type { System } from '../start/system.ts'
import { msColumn } from '../terminal/columns.ts'
import { formatBytes, formatDifference, formatMs } from '../terminal/format.ts'
import { say } from '../terminal/say.ts'
import { type SetDetail, sayWhileWaiting } from '../terminal/waiting.ts'
import { tableOf, tableText } from '../terminal/table.ts'
import type { Report, ServedPlan } from './report.ts'

/** Says that `work` is being done and what it waits for, then prints the title and how long it took. */
export async function step<T>(title: string, work: (setDetail: SetDetail) => Promise<T>): Promise<T> {
  const start = performance.now()
  const result = await sayWhileWaiting(title, work)
  say(`${colour.green('✓')} ${title} ${colour.dim(`(${formatMs(performance.now() - start)})`)}`)
  return result
}

export function modelText({ name, bytes, cuts, id }: UploadedModel, { layers, inputs }: Structure): string {
  const { single, clean } = cuts ?? { single: [], clean: [] }
  return [
    `  ${colour.bold(name)}  ${formatBytes(bytes)}, ${layers.length} layers, input ${inputsText(inputs)}`,
    `  can be cut at ${clean.length} clean boundaries and ${single.length} where one tensor crosses; id ${id.slice(0, 12)}`,
  ].join('\n')
}

export function titledPlansText(title: string, answer: PlanAnswer): string {
  const considered = colour.dim(`(${answer.considered.toLocaleString('en')} considered)`)
  return `\n${colour.bold(`plans: ${title}`)}  ${considered}\n${plansText(inOptions(answer))}`
}

/** From this spread, or this much waiting for other processes, on a user should know. */
const UNSTEADY = 0.15
const BUSY = 1.1

/** One line on how far the figures can be trusted: what else runs on the computer, and how its own pace moves. */
export function steadinessText(paces: PlanAnswer['paces']): string {
  if (paces.length === 0) return colour.yellow('how fast the machines are now is not known')
  const most = (pick: (pace: PlanAnswer['paces'][number]) => number) => Math.max(...paces.map(pick))
  const waiting = most((pace) => pace.waiting * (pace.stops ?? 1))
  const others = most(({ otherCores = 0 }) => otherCores)
  const below = most((pace) => pace.below)
  const above = most((pace) => pace.above)
  const spread = `its own pace moves by −${percent(below)} to +${percent(above)}`
  if (waiting >= BUSY)
    return colour.yellow(
      `this computer is busy: ${causeText(others, paces)} up to ${percent(waiting - 1)}; ${spread}`,
    )
  if (Math.max(below, above) >= UNSTEADY) return colour.yellow(`this computer is unsteady: ${spread}`)
  return colour.dim(`this computer is quiet: ${spread}`)
}

/** Only what is there: who has set no quota would look for one. */
function causeText(others: number, paces: PlanAnswer['paces']): string {
  const causes = [
    ...(others >= 0.05 ? [`other work on ${others.toFixed(1)} cores`] : []),
    ...(paces.some(({ stops = 1 }) => stops > 1) ? ['a limit on its CPU time'] : []),
  ]
  if (causes.length === 0) return 'times are longer by'
  return `${causes.join(' and ')} ${causes.length === 1 ? 'lengthens' : 'lengthen'} times by`
}

const percent = (fraction: number): string => `${Math.round(100 * fraction)} %`

export function servedText(served: readonly ServedPlan[]): string {
  const table = tableOf(served, {
    'plan (layers)': ({ plan }) => describePlan(plan),
    predicted: msColumn(({ predictedMs }) => predictedMs),
    '95 % within': ({ plan: { interval } }) => `${formatMs(interval.lowMs)} – ${formatMs(interval.highMs)}`,
    measured: msColumn(({ measuredMs }) => measuredMs),
    predicts: ({ held, inside, samplesMs }) => {
      const text = `${held ? 'inside' : 'OUTSIDE'}, ${inside} of ${samplesMs.length}`
      return held ? colour.green(text) : colour.red(text)
    },
    'max |diff|': ({ maxAbsDiff }) => formatDifference(maxAbsDiff),
    'when deployed': ({ verification }) => shortVerification(verification),
    outputs: ({ agree }) => (agree ? colour.green('equal') : colour.red('DIFFERENT')),
  })
  const isEmulated = served.some(({ plan }) => plan.emulated)
  return [
    `\n${colour.bold('served and measured')}`,
    tableText(table),
    ...(isEmulated ? [colour.yellow('  times pass through emulated speeds or links')] : []),
  ].join('\n')
}

/** How the quickest split did beside whole models on one machine, by the clock. */
export function winnerText(served: readonly ServedPlan[]): string {
  const quickest = (some: readonly ServedPlan[]) => some.toSorted((a, b) => a.measuredMs - b.measuredMs)[0]
  const split = quickest(served.filter(({ plan }) => !plan.native))
  const alone = served.filter(({ plan }) => plan.native)
  const best = quickest(alone)
  if (!split || !best) return 'there is no split and whole model to compare'
  if (best.measuredMs <= split.measuredMs)
    return (
      `here no split is quicker: ${describePlan(best.plan)} took ${formatMs(best.measuredMs)}, ` +
      `${describePlan(split.plan)} took ${formatMs(split.measuredMs)}, measured`
    )
  const against = alone.map(
    (one) =>
      `${(one.measuredMs / split.measuredMs).toFixed(2)} times as quick as ${describePlan(one.plan)} ` +
      `(${formatMs(one.measuredMs)})`,
  )
  return colour.green(
    `measured: the split ${describePlan(split.plan)} took ${formatMs(split.measuredMs)}, ${against.join(' and ')}`,
  )
}

/** The last line: what worked, and what did not come as predicted. */
export function verdictText({ ok, maxAbsDiff, maxAbsOutput, predictions }: Report): string {
  const difference = `largest difference ${formatDifference(maxAbsDiff)} of outputs up to ${maxAbsOutput.toPrecision(3)}`
  if (!ok) return colour.red(`the split model's outputs differ from the whole model's: ${difference}`)
  const equal = `the split model's outputs equal the whole model's (${difference})`
  const { held, of } = predictions
  if (held === of)
    return colour.green(`every step worked; ${of} of ${of} plans took as long as predicted; ${equal}`)
  return colour.yellow(
    `${of - held} of ${of} plans did NOT take as long as predicted (OUTSIDE above); ${equal}`,
  )
}

/** Commands to try next, with the addresses of this run. */
export function thingsToTry(system: System, report: Report): string {
  const served = report.raw.served.at(-1)
  const bytes = report.model.inputs.length === 1 ? report.inputBytes : undefined
  const infer =
    served && bytes !== undefined
      ? `head -c ${bytes} /dev/zero | curl -s ${served.endpoint} -H 'Inference-Header-Content-Length: 0' --data-binary @- | head -c 400`
      : `curl -s ${served?.endpoint.replace(/\/infer$/, '')}`
  return [
    colour.bold('up and running; Ctrl-C stops everything'),
    `  benchmark  ${system.benchmarkUrl}/docs`,
    `  planner    ${system.plannerUrl}/docs`,
    ...system.resources.map((resource) => `  ${resource.name.padEnd(10)} ${resource.url}/docs`),
    colour.bold('try'),
    `  curl -s '${system.plannerUrl}/v1/plans?model=${report.model.name}&network=3g&top=3'`,
    `  curl -s '${system.benchmarkUrl}/v1/models/${report.model.name}/layers' | head -c 600`,
    `  ${infer}`,
  ].join('\n')
}
