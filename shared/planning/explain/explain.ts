/** What the sentence beside an answer (why.ts) is made from, for either view. */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import type { Plan } from '../../contracts/plan.ts'
import { type Constraint, describe, isDefault, type OptimiserQuery } from '../limits/constraints.ts'
import { whyOf } from './why.ts'

export interface Answered<P extends Plan | GraphPlan> {
  query: OptimiserQuery
  constraints: readonly Constraint[]
  /** Best first, never empty. */
  plans: readonly P[]
  native: readonly P[]
  /** The best plan with two stages or more, where that is quick to know: asked only when the winner has one. */
  bestSplit: () => P | undefined
  /** The best on one machine under the query's constraints: few plans, so that no time limit counts. */
  bestAlone: () => P | undefined
  /** The best plan under other constraints; undefined where there is none, or none that is known to be the best. */
  best: (constraints: readonly Constraint[]) => P | undefined
}

export function explain<P extends Plan | GraphPlan>(answered: Answered<P>): string {
  const { query, constraints, plans, native, bestSplit, bestAlone, best } = answered
  const winner = plans[0]!
  const demands = constraints.filter((constraint) => !isDefault(constraint))
  const defaults = constraints.filter((one) => isDefault(one) || one.kind === 'confidence')
  return whyOf({
    query,
    winner,
    native,
    bestSplit: winner.native ? bestSplit() : undefined,
    bestNative: winner.native ? winner : bestAlone(),
    unconstrained: demands.length > 0 ? best(defaults) : undefined,
    constraints: demands.map(describe),
    cleanCutsOnly: query.cuts === 'clean',
  })
}

export function alone(constraints: readonly Constraint[]): Constraint[] {
  return [...constraints, { kind: 'maxStages', count: 1 }]
}
