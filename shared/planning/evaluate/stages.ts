/** Whether a plan's stages fit the model and the tiers. */
import { ScissionError } from '../../platform/errors.ts'
import type { PlanParts } from '../../contracts/plan-id.ts'
import { pathOf, resourceNamed } from '../problem/lookup.ts'
import type { Problem } from '../problem/problem.ts'

/** @throws ScissionError invalidRange naming the layer, the boundary or the tiers that do not fit. */
export function checkStages(problem: Problem, parts: PlanParts): void {
  const layers = problem.structure.layers.length
  const end = parts.stages.at(-1)?.to
  if (end !== layers)
    throw new ScissionError('invalidRange', `the plan ends at layer ${end}, the model has ${layers} layers`)
  const path = pathOf(parts)
  path.slice(1).forEach(({ resource, from }, hop) => {
    const before = resourceNamed(problem, path[hop]!.resource)
    const after = resourceNamed(problem, resource)
    if (after.tierIndex <= before.tierIndex)
      throw new ScissionError(
        'invalidRange',
        `stages only move forward: ${after.name} (tier ${after.tier}) does not come after ` +
          `${before.name} (tier ${before.tier})`,
      )
    const boundary = problem.structure.boundaries[from]
    if (from > 0 && !boundary?.allowed)
      throw new ScissionError(
        'invalidRange',
        `boundary ${from} must not be cut: ${boundary?.why ?? 'results change'}`,
      )
  })
}
