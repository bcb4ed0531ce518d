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
import { formatBytes, formatMs, formatShare } from '../terminal/format.ts'
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

export function servedText(served: readonly ServedPlan[]): string {
  const table = tableOf(served, {
    'plan (layers)': ({ plan }) => describePlan(plan),
    predicted: msColumn(({ predictedMs }) => predictedMs),
    measured: msColumn(({ measuredMs }) => measuredMs),
    'off by': (one) => formatShare(one.measuredMs / one.predictedMs - 1),
    'max |diff|': ({ maxAbsDiff }) => maxAbsDiff.toExponential(1),
    'max |output|': ({ maxAbsOutput }) => maxAbsOutput.toPrecision(3),
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
