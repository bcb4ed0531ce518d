/** The baselines: the whole model on one resource, nothing compressed, whatever the constraints. */
import type { Plan } from '../../contracts/plan.ts'
import { objectiveOf } from '../objective/objectives.ts'
import type { Solver } from './solver.ts'

/** For each resource that the source has a link to, with the runtime options that are best for the objective. */
export function nativePlans(solver: Solver): Plan[] {
  const { confidence } = solver.query
  const { median: chain } = solver.compiled
  return chain.resources.flatMap(({ units }, resource) => {
    const linked =
      resource === chain.source || chain.hopMs[chain.source * chain.resources.length + resource]! < Infinity
    if (!linked) return []
    const plans = units.map(({ variant }) =>
      solver.evaluated({ stages: [{ resource, variant, from: 0, to: chain.layers, codec: 0 }] }, confidence),
    )
    const best = plans.reduce<Plan | undefined>(
      (least, plan) =>
        least && objectiveOf(least, solver.query) <= objectiveOf(plan, solver.query) ? least : plan,
      undefined,
    )
    return best ? [best] : []
  })
}
