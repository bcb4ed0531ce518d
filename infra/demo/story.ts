/** Prints the run while it proceeds: one line per step, and tables for numbers. */
import colour from 'picocolors'
import type { UploadedModel } from '../../shared/client/benchmark.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import type { PlanAnswer } from '../../shared/contracts/plan.ts'
import type { Profile } from '../../shared/contracts/profile.ts'
import type { Link } from '../../shared/contracts/resource.ts'
import { baselinesText, describePlan, plansText } from '../cli/plan-tables.ts'
import { linksTable, profilesTable } from '../cli/tables.ts'
import { formatBytes, formatMs, formatShape } from '../terminal/format.ts'
import { tableOf } from '../terminal/table.ts'
import type { ServedPlan } from './report.ts'

export type Story = ReturnType<typeof createStory>

export function createStory(print: (text: string) => void = console.log) {
  const say = (text: string) => print(text)
  return {
    say,
    describe: describePlan,
    /** Prints the title, runs `work`, and prints how long it took. */
    async step<T>(title: string, work: () => Promise<T>): Promise<T> {
      const start = performance.now()
      const result = await work()
      say(`${colour.green('✓')} ${title} ${colour.dim(`(${formatMs(performance.now() - start)})`)}`)
      return result
    },
    model(model: UploadedModel, structure: Structure) {
      const signature = structure.inputs
        .map((input) => `${input.name} ${input.datatype} ${formatShape(input.shape)}`)
        .join(', ')
      const { single, clean } = model.cuts ?? { single: [], clean: [] }
      say(
        `  ${colour.bold(model.name)}  ${formatBytes(model.bytes)}, ${structure.layers.length} layers, input ${signature}`,
      )
      say(
        `  can be cut at ${clean.length} clean boundaries and ${single.length} where one tensor crosses; id ${model.id.slice(0, 12)}`,
      )
    },
    profiles: (profiles: readonly Profile[]) => say(profilesTable(profiles)),
    links: (links: readonly Link[]) => say(linksTable(links)),
    plans(title: string, answer: PlanAnswer) {
      say(
        `\n${colour.bold(`plans: ${title}`)}  ${colour.dim(`(${answer.considered.toLocaleString('en')} considered)`)}`,
      )
      say(plansText(answer))
    },
    baselines: (answer: PlanAnswer) => say(`\n${baselinesText(answer)}`),
    served(served: readonly ServedPlan[]) {
      say(`\n${colour.bold('served and measured')}`)
      say(
        tableOf(served, {
          'plan (layers)': ({ plan }) => describePlan(plan),
          predicted: ({ predictedMs }) => formatMs(predictedMs),
          measured: ({ measuredMs }) => formatMs(measuredMs),
          'off by': (one) => `${(100 * (one.measuredMs / one.predictedMs - 1)).toFixed(1)} %`,
          'max |diff|': ({ maxAbsDiff }) => maxAbsDiff.toExponential(1),
          'max |output|': ({ maxAbsOutput }) => maxAbsOutput.toPrecision(3),
          outputs: ({ agree }) => (agree ? colour.green('equal') : colour.red('DIFFERENT')),
        }),
      )
      if (served.some((one) => one.plan.emulated))
        say(colour.yellow('  times pass through emulated speeds or links'))
    },
  }
}
