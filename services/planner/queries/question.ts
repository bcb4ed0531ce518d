import type { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import type { WhatIf } from '../../../shared/contracts/what-if-fields.ts'

/** The part of a query that decides which problem is built. */
export interface Question {
  model: ModelId
  shapesKey: ShapesKey
  whatIf: WhatIf | undefined
  /** `own`: only profiles with the runtime options that their resource runs with now. `any`: the planner chooses. */
  options: 'own' | 'any'
  /** Ids of profiles; if given, no others are planned with. */
  profiles: readonly string[] | undefined
}
