/**
 * Whether the limits leave nothing of a domain. Where even the least of Σ w·(sum − limit), for some weights w ≥ 0, is
 * above 0, no placement keeps all limits: one of the terms is above 0 in each (the easy half of Farkas' lemma). Tried are
 * each limit that was not kept by itself, and all together at the prices that the bound was found with (graph-bound.ts).
 *
 * Without this a limit that nothing keeps would only be found out by placing layer after layer.
 */
import { type Bound, excessOf, keeps } from './lagrangian-bound.ts'
import type { Domain, PathModel } from './closure-problem.ts'
import { addSum, zeroSum } from './routes.ts'

/** Of the size of the terms: a sum above this is no rounding error. */
const ROUNDING = 1e-9

/** @param bound of the domain: a placement that does not keep the limits, and prices on them. */
export function isExcluded(model: PathModel, domain: Domain, { at, prices }: Bound): boolean {
  const { budgets } = model.path
  for (const budget of budgets) {
    if (keeps(budget, at.totals)) continue
    const least = model.solve(budget.sum, domain)
    if (least === undefined || !keeps(budget, model.totals(least))) return true
  }
  return isExcludedTogether(model, domain, prices)
}

function isExcludedTogether(model: PathModel, domain: Domain, prices: Float64Array): boolean {
  const { budgets, places } = model.path
  if (prices.filter((price) => price > 0).length < 2) return false
  const sum = zeroSum(places.length)
  budgets.forEach((budget, index) => addSum(sum, budget.sum, prices[index]!))
  const placement = model.solve(sum, domain)
  if (placement === undefined) return true
  const totals = model.totals(placement)
  let excess = 0
  let size = 0
  budgets.forEach((budget, index) => {
    const own = prices[index]! * excessOf(budget, totals)
    excess += own
    size += Math.abs(own) + prices[index]! * Math.abs(budget.limit)
  })
  return excess > ROUNDING * size
}
