/** A planner's answer with background: comparisons of serving with the profiles, and sensitivity to conditions. */
import { z } from 'zod'
import { ResourceName } from './common.ts'
import { PlanAnswer } from './plan.ts'
import { Served } from './profile.ts'
import { SensitivityChange } from './plan-sweep.ts'

export const ExplainedAnswer = PlanAnswer.extend({
  /** Comparisons of serving with the profiles used. For information, not used in planning. */
  served: z.array(Served.extend({ resource: ResourceName })),
  /** With `sensitivity=true`: one condition changes, all others stay. */
  sensitivity: z.array(SensitivityChange).optional(),
})
export type ExplainedAnswer = z.infer<typeof ExplainedAnswer>
