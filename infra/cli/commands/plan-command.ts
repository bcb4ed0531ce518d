/** `scission plan`: the best plans of a model. */
import type { Command } from 'commander'
import { csvOption } from '../common-options.ts'
import type { Context } from '../context.ts'
import { namingOptions } from '../option-errors.ts'
import { baselinesText, besideText, everyPlanTable, plansText } from '../plan-tables.ts'
import { addPlanOptions, type GivenOptions, inOptions, PLAN_HINTS, planQuery } from './plan-options.ts'

export function definePlan(command: Command, context: Context): void {
  command.option(
    '--sensitivity',
    'also say at which bandwidth, round trip or slowdown another plan takes over',
  )
  addPlanOptions(command)
    .addOption(csvOption())
    .action(async (model: string, options: GivenOptions) => {
      const query = {
        ...planQuery(model, options),
        ...(options.sensitivity === true && { sensitivity: true }),
      }
      const { planner } = context
      const answer = await namingOptions(PLAN_HINTS, async () =>
        query.view === 'graph' ? await planner.graphPlans(query) : await planner.plans(query),
      )
      context.printTable(answer, everyPlanTable, (shown) => {
        const said = inOptions(shown)
        const beside = besideText(said)
        const id = said.plans[0]?.id
        const deploy = id === undefined ? [] : [`deploy the first: scission deploy ${id}`]
        return [plansText(said), baselinesText(said), ...(beside ? [beside] : []), ...deploy].join('\n')
      })
    })
}
