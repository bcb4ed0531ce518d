/** The chain view asked by conflict.ts: every answer is proven. */
import type { Asked } from '../explain/conflict.ts'
import { limitKeptBy } from '../limits/limit-figures.ts'
import { limitCriterion } from '../objective/objectives.ts'
import type { Solver } from './solver.ts'

export function chainAsked(solver: Solver): Asked {
  const { leftOut, median, problem } = solver.compiled
  return {
    isFeasible: (constraints) => solver.any(constraints) !== undefined,
    enough: (others, constraint) => {
      const criterion = limitCriterion(constraint.kind)
      const least = criterion && solver.least(others, criterion)
      if (criterion && least !== undefined) {
        const value = criterion.inUnits(least)
        return { limit: constraint.kind === 'minThroughput' ? 1000 / value : value, isLeast: true }
      }
      const candidate = criterion ? undefined : solver.any(others)
      if (!candidate) return undefined
      const plan = solver.priced(candidate, others)
      return { limit: limitKeptBy(plan, constraint, problem.resources), isLeast: false }
    },
    isOver: () => solver.timeLimit.isOver(),
    mostStages: median.tiers.length,
    leftOut,
  }
}
