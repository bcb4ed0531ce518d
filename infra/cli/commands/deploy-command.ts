/** `scission deploy` and `undeploy`. */
import type { Command } from 'commander'
import { parseShapeRanges } from '../../../shared/contracts/shape-ranges.ts'
import { deployAndWait } from '../../steps/deploy-plan.ts'
import { createProgress } from '../../terminal/progress.ts'
import { tableText } from '../../terminal/table.ts'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { namingOptions, type OptionHints } from '../option-errors.ts'
import { planIdOf } from '../plan-ids.ts'
import { deploymentsTable } from '../tables.ts'
import { verificationText } from '../verification-text.ts'

interface DeployOptions {
  name?: string
  shapes?: string
  verify: boolean
}

const HINTS: OptionHints = {
  name: {
    flag: '--name',
    expected: 'a letter or digit, then letters, digits, ".", "_" or "-", 100 at most',
    example: 'mysplit',
  },
  shapes: {
    flag: '--shapes',
    expected: 'a size, or the smallest and the largest one, for each dimension',
    example: 'ids:1x8..512',
  },
}

export function defineDeploy(command: Command, context: Context): void {
  command
    .option('--name <name>', 'the model name it is served under')
    .option('--shapes <ranges>', 'take any input shape within these ranges: ids:1x8..512')
    .option('--no-verify', 'do not compare its outputs with those of the whole model')
    .addOption(csvOption())
    .action(async (plan: string, { name, shapes, verify }: DeployOptions) => {
      const ranges = shapes === undefined ? undefined : parseShapeRanges(shapes)
      const request = {
        plan: planIdOf(plan, '; the last line of scission plan MODEL has that of the best'),
        name,
        shapes: ranges,
        ...(!verify && { verify }),
      }
      const deployment = await namingOptions(HINTS, () =>
        deployAndWait(context.planner, request, createProgress()),
      )
      context.printTable(
        deployment,
        (shown) => deploymentsTable([shown]),
        ({ verification }, table) => [tableText(table), verificationText(verification)].join('\n'),
      )
    })
}

export function defineUndeploy(command: Command, context: Context): void {
  command.action(async (id: string) => {
    await context.planner.undeploy(id)
    context.print({ deleted: id }, ({ deleted }) => `deleted ${deleted}`)
  })
}
