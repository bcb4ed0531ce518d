/** The plan that an id names, priced with today's profiles and links. */
import type { Plan } from '../../../shared/contracts/plan.ts'
import { parsePlanId } from '../../../shared/contracts/plan-id.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { evaluatePlan } from '../../../shared/planning/index.ts'
import type { QueryDeps } from '../queries/answer-plans.ts'

/** @throws ScissionError notFound, notMeasured, conflict if a resource of the plan is down or was only imported. */
export async function planById({ mirror, builder }: QueryDeps, id: string): Promise<Plan> {
  await mirror.ready()
  const named = parsePlanId(id)
  if (!mirror.models.has(named.model))
    throw new ScissionError('notFound', `plan ${id}: its model is not registered`, { model: named.model })
  const resources = [named.source, ...named.stages.map((stage) => stage.resource)]
  await builder.refuseAllLost()
  builder.refuseLost(resources)
  refuseImported({ mirror }, resources)
  const { problem } = await builder.build({
    model: named.model,
    shapesKey: named.shapesKey,
    whatIf: undefined,
    options: 'any',
    profiles: undefined,
  })
  return evaluatePlan(problem, named)
}

/** @throws ScissionError conflict: there is no service behind an imported machine. */
function refuseImported({ mirror }: Pick<QueryDeps, 'mirror'>, names: readonly string[]): void {
  const name = names.find((one) => mirror.resources.get(one)?.source === 'imported')
  if (name === undefined) return
  const message = `resource ${name} was imported with its measurements: it can be planned with, not deployed to`
  throw new ScissionError('conflict', message, { resource: name })
}
