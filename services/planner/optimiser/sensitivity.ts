/**
 * What change of one condition, all others as they are, lets another plan take over: the bandwidth or round trip of a
 * link, the slowdown of a resource, each a hundred times lower to a hundred times higher.
 *
 * A plan's cost is linear in a round trip, a slowdown and the inverse of a bandwidth. So two plans change places at one
 * value, and the search walks inwards: the best plan at the far end meets the winner at some value; the best one there
 * meets it nearer; where nothing beats the winner any more, that is the first value at which another plan is as good.
 * Every step is an exact solve. Where costs or the set of plans are not of that kind (throughput, limits on times …),
 * the first of a few values at which the winner has lost is taken, and the interval before it is halved.
 */
import type { SensitivityChange } from '../../../shared/contracts/plan-sweep.ts'
import type { Plan } from '../../../shared/contracts/plan.ts'
import type { OptimiserQuery, Optimum, Problem } from './index.ts'
import { conditionsAround, type Condition } from './sensitivity-conditions.ts'
import { type Best, reprice, solveBest } from './sweep-solve.ts'
import { isConcave } from './sweep-limits.ts'

/** How far a condition is followed, as a factor to either side. */
const MOST_FACTOR = 100
/** Values looked at on a side where nothing is linear, and halvings after that: one part in a million of a step. */
const PROBES = 6
const HALVINGS = 20
/** Costs that differ by less, relatively, are one cost added up in another order. */
const TOLERANCE = 1e-11

/**
 * One entry per condition and direction in which another plan takes over within the range; none for a front, and none
 * for a winner that the query's time limit left unproven. The time limit itself does not count here.
 * @param optimum what `optimise` answered: its first plan is the winner.
 */
export function sensitivityOf(
  problem: Problem,
  query: OptimiserQuery,
  optimum: Pick<Optimum, 'plans' | 'gap'>,
): SensitivityChange[] {
  const winner = optimum.plans[0]
  if (winner === undefined || query.pareto || optimum.gap !== undefined) return []
  return conditionsAround(problem, winner, MOST_FACTOR).flatMap((condition) => {
    const { what, now, link, resource } = condition
    const concave = isConcave(problem, query, resource === undefined ? [] : [resource])
    return (['lower', 'higher'] as const).flatMap((direction) => {
      if (cannotLose(query, condition, direction, concave)) return []
      const walk = new Walk(condition, query, winner, concave)
      const met = concave ? walk.inwards(direction) : walk.outwards(direction)
      if (!met) return []
      const stages = met.plan?.stages ?? []
      return [
        {
          what,
          ...(link && { link }),
          ...(resource !== undefined && { resource }),
          direction,
          from: now,
          at: met.value,
          planId: met.plan?.id ?? null,
          resources: stages.map((stage) => stage.resource),
          exact: concave,
        },
      ]
    })
  })
}

/** What makes everything else worse, or everything else as much worse or better, needs no search. */
function cannotLose(
  query: OptimiserQuery,
  { what, used }: Condition,
  direction: 'lower' | 'higher',
  concave: boolean,
): boolean {
  const worsens = (direction === 'higher') !== (what === 'bandwidth')
  // But a share of the compute time falls when others take longer, and a plan may come to be allowed.
  if (!used) return worsens && (concave || query.maxTierShare === undefined)
  // A plan crosses a link once: no other gains more when its round trip falls.
  return what === 'rtt' && !worsens && concave && query.objective === 'latency'
}

interface Met {
  /** Of the condition. */
  value: number
  /** What is as good there; undefined when the winner is no longer allowed and nothing else is. */
  plan: Plan | undefined
}

/** One condition, with the winner to be beaten. */
class Walk {
  readonly #condition: Condition
  readonly #query: OptimiserQuery
  readonly #winner: Plan
  /** Most latency allowed; only where it is not part of the search. */
  readonly #limitMs: number

  constructor(condition: Condition, query: OptimiserQuery, winner: Plan, concave: boolean) {
    const { maxLatencyMs = Infinity, ...rest } = query
    // Under latency the winner keeps to the limit or no plan does.
    const late = concave && query.objective === 'latency'
    this.#condition = condition
    this.#query = late ? rest : query
    this.#winner = winner
    this.#limitMs = late ? maxLatencyMs : Infinity
  }

  /** For costs that are lines over the condition's coordinate. */
  inwards(direction: 'lower' | 'higher'): Met | undefined {
    const { here, end, toValue } = this.#range(direction)
    if (end === here) return undefined
    const line = (plan: Plan) => [this.#price(plan, here), this.#price(plan, end)] as const
    const [from, to] = line(this.#winner)
    let at = end
    let rival: Plan | undefined
    for (;;) {
      const best = this.#solve(at)
      const winners = from + ((to - from) * (at - here)) / (end - here)
      if (!best || best.plan.id === rival?.id || isAsGood(winners, best.value, Math.max(from, to))) break
      rival = best.plan
      const [rivalFrom, rivalTo] = line(rival)
      const [lead, loss] = [Math.max(0, rivalFrom - from), to - rivalTo]
      at = here + (end - here) * (lead + loss > 0 ? lead / (lead + loss) : 0)
    }
    const limit = here + ((this.#limitMs - from) / (to - from)) * (end - here)
    const late = to > from && this.#limitMs < to && Math.abs(limit - here) < Math.abs(at - here)
    if (late) return { value: toValue(limit), plan: undefined }
    return rival && { value: toValue(at), plan: rival }
  }

  /**
   * Without assumptions on costs, but for what lies between two values that were looked at. Where the condition is no
   * part of the winner's cost, the others only gain on the way out, and the end says it all.
   */
  outwards(direction: 'lower' | 'higher'): Met | undefined {
    const { here, end, toValue } = this.#range(direction)
    if (end === here) return undefined
    const monotone = !this.#condition.used && this.#query.maxTierShare === undefined
    const probes = monotone ? 1 : PROBES
    let kept = here
    for (let probe = 1; probe <= probes; probe += 1) {
      const share = probe / probes
      const at = here === 0 ? end * share : here * (end / here) ** share
      const best = this.#solve(at)
      if (this.#stillWins(best, at)) {
        kept = at
        continue
      }
      return this.#halve(kept, at, best, toValue)
    }
    return undefined
  }

  #halve(kept: number, lost: number, best: Best | undefined, toValue: (at: number) => number): Met {
    let [low, high, rival] = [kept, lost, best]
    for (let step = 0; step < HALVINGS; step += 1) {
      const middle = (low + high) / 2
      const there = this.#solve(middle)
      if (this.#stillWins(there, middle)) low = middle
      else [high, rival] = [middle, there]
    }
    return { value: toValue(high), plan: rival?.plan }
  }

  /** The winner is allowed there, and nothing is better: if it were not allowed, the best would cost something else. */
  #stillWins(best: Best | undefined, at: number): boolean {
    if (!best) return false
    if (best.plan.id === this.#winner.id) return true
    const value = this.#price(this.#winner, at)
    return isAsGood(value, best.value, value) && isAsGood(best.value, value, value)
  }

  #range(direction: 'lower' | 'higher') {
    const { coordinate, range, what } = this.#condition
    const up = (direction === 'higher') !== (what === 'bandwidth')
    const toValue = (at: number) => this.#condition.toValue(at)
    return { here: coordinate, end: up ? range[1] : range[0], toValue }
  }

  #solve(at: number): Best | undefined {
    return solveBest(this.#condition.at(at), this.#query)
  }

  #price(plan: Plan, at: number): number {
    return reprice(this.#condition.at(at), this.#query, plan).value
  }
}

/** @param largest of the numbers that the values were worked out from: they are rounded at its size. */
function isAsGood(value: number, least: number, largest: number): boolean {
  return value <= least * (1 + TOLERANCE) + largest * 1e-14
}
