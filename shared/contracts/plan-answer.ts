/** A planner's answer with what is known beside the plans: what serving says of the profiles, what would change it. */
import { z } from 'zod'
import { ResourceName } from './common.ts'
import { PlanAnswer } from './plan.ts'
import { Served } from './profile.ts'
import { SensitivityChange } from './plan-sweep.ts'

export const ExplainedAnswer = PlanAnswer.extend({
  /** Of the profiles planned with, those that serving has been held against. Shown, never used. */
  served: z.array(Served.extend({ resource: ResourceName })),
  /** With `sensitivity=true`: one condition changes, all others stay. */
  sensitivity: z.array(SensitivityChange).optional(),
})
export type ExplainedAnswer = z.infer<typeof ExplainedAnswer>
