/** `scission price`: what one plan would take now. Nothing is searched, so any cut can be asked about. */
import type { Command } from 'commander'
import { formatPlanId, type PlanStage } from '../../../shared/contracts/plan-id.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { tableText } from '../../terminal/table.ts'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { planIdOf } from '../plan-ids.ts'
import { onePlanTable } from '../plan-tables.ts'

interface PriceOptions {
  stages?: string
  source?: string
}

const FORM = 'RESOURCE:FROM-TO,…, for example --stages device:0-63,edge:63-158'

export function definePrice(command: Command, context: Context): void {
  command
    .option('--stages <list>', `with a model: which resource runs which layers: ${FORM}`)
    .option('--source <resource>', 'the resource that has the input (default: that of the first stage)')
    .addOption(csvOption())
    .action(async (plan: string, { stages, source }: PriceOptions) => {
      if (stages === undefined && source !== undefined)
        throw new ScissionError('badRequest', '--source: only with --stages; a plan id names its source')
      const id =
        stages === undefined
          ? planIdOf(plan, `; for a model say which resource runs which layers: --stages ${FORM}`)
          : await idOf(context, plan, stagesOf(stages), source)
      const assumed = stages === undefined || source !== undefined ? [] : [sourceText(stagesOf(stages))]
      context.printTable(await context.planner.plan(id), onePlanTable, ({ notes }, table) =>
        [tableText(table), ...assumed, ...notes].join('\n'),
      )
    })
}

const sourceText = ([{ resource }]: readonly [PlanStage, ...PlanStage[]]) =>
  `the input is taken to be at ${resource}, so that sending it there is not counted: --source names another resource`

async function idOf(
  { benchmark }: Context,
  model: string,
  stages: readonly [PlanStage, ...PlanStage[]],
  source = stages[0].resource,
): Promise<string> {
  const { id, shapesKey, name } = await benchmark.model(model)
  if (shapesKey !== null) return formatPlanId({ model: id, shapesKey, source, stages })
  throw new ScissionError('needsInputShapes', `model ${name} leaves dimensions open: give the id of a plan`)
}

/** @throws ScissionError badRequest quoting the part that is no stage. */
export function stagesOf(text: string): [PlanStage, ...PlanStage[]] {
  const stages = text.split(',').map((part): PlanStage => {
    const [, resource, from, to] = /^([a-z0-9][a-z0-9-]*):(\d+)-(\d+)$/.exec(part.trim()) ?? []
    if (resource === undefined)
      throw new ScissionError('badRequest', `--stages must be ${FORM}; got: ${part}`)
    return { resource, from: Number(from), to: Number(to) }
  })
  return stages as [PlanStage, ...PlanStage[]]
}
