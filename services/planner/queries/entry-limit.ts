/** Whether the source can take the model's input at all: no plan could change that. */
import { MESSAGE_JSON_BYTES } from '../../../shared/contracts/resource.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { sourceOf } from '../../../shared/planning/index.ts'
import type { PlanningProblem } from './solver.ts'

/**
 * @param named source of the query.
 * @throws ScissionError infeasible, which names the source, its limit and the setting; badRequest if several could be meant.
 */
export function refuseLongInput({ resources, structure }: PlanningProblem, named: string | undefined): void {
  const source = sourceOf(resources, named)
  const limit = resources.find(({ name }) => name === source)?.limits?.messageBytes
  const needed = structure.inputs.reduce((total, { bytes }) => total + bytes, MESSAGE_JSON_BYTES)
  if (limit === undefined || needed <= limit) return
  const setting = 'SCISSION_BODY_MEMORY_BYTES'
  const remedy = `with ${setting} of ${source} at least ${needed}`
  throw new ScissionError(
    'infeasible',
    `no plan begins at ${source}: a request with the model's inputs has ${needed} bytes, it takes ${limit} (${setting}); ` +
      `one would ${remedy}, or with another source`,
    {
      conflict: [`maxMessageBytes: ${source}:${limit} (${setting} of ${source})`],
      minimal: true,
      remedies: [remedy],
    },
  )
}
