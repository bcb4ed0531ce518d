/**
 * The optimiser: from measured costs to the best plans, exactly. Pure: no files, no sockets, nothing of Node, so that a web
 * page can run it too; a clock only for time limits. This file is the only one that the rest of the product imports.
 *
 * Imports go one way: problem → limits → objective → evaluate → explain → chain → graph → sweep.
 */
export { type Optimum, optimise } from './chain/optimise.ts'
export { evaluatePlan } from './evaluate/evaluate-plan.ts'
export { type GraphOptimum, optimiseGraph } from './graph/optimise-graph.ts'
export type { OptimiserQuery } from './limits/constraints.ts'
export { objectiveOf } from './objective/objectives.ts'
export { missingFigures } from './problem/problem.ts'
export {
  checkKnown,
  type GraphProblem,
  type PlanningProfile,
  type Problem,
  sourceOf,
} from './problem/problem.ts'
export type { QuotaStops } from './problem/quota-stops.ts'
export { sensitivityOf } from './sweep/sensitivity.ts'
export { sweep } from './sweep/sweep.ts'
