/**
 * Sensitivity: the change of one condition, all others fixed, at which another plan takes over. Conditions are the bandwidth
 * and the round trip of a link and the slowdown of a resource, each down to a hundredth and up to a hundredfold.
 *
 * A plan's cost is linear in a round trip, a slowdown and the inverse of a bandwidth. So two plans change places at one
 * value, and the search moves inwards: the best plan at the far end ties with the winner at some value; the best plan there
 * ties with it nearer; where no plan beats the winner any more is the first breakpoint. Every step is an exact solve. If
 * costs are not linear or the set of plans depends on the condition (throughput, limits on times …), a few values are probed
 * outwards, and the interval before the first one at which the winner loses is bisected.
 */
import type { Plan } from '../../contracts/plan.ts'
import type { SensitivityChange } from '../../contracts/plan-sweep.ts'
import type { Optimum } from '../chain/optimise.ts'
import type { OptimiserQuery } from '../limits/constraints.ts'
import type { PlanningLink, PlanningResource, Problem } from '../problem/problem.ts'
import { type BestPlan, isConcave, reprice, solveBest } from './resolve.ts'

/** Factor by which a condition is varied, in each direction. */
const MAX_FACTOR = 100
/** Values probed per direction if costs are not linear, and bisections after that: to 10^-6 of the step between probes. */
const PROBES = 6
const HALVINGS = 20
/** Relative size of differences between sums in different orders. */
const TOLERANCE = 1e-11

/**
 * The changes of one condition that let another plan take over: one entry per condition and direction in which that happens
 * within the range. None for a Pareto front, or if the time limit left the winner unproven. The time limit does not apply.
 * @param optimum the result of `optimise`; its first plan is the winner.
 * @example sensitivityOf(problem, query, optimise(problem, query)) // [{ what: 'rtt', direction: 'higher', at: 35.2, … }]
 */
export function sensitivityOf(
  problem: Problem,
  query: OptimiserQuery,
  optimum: Pick<Optimum, 'plans' | 'gap'>,
): SensitivityChange[] {
  const winner = optimum.plans[0]
  if (winner === undefined || query.pareto || optimum.gap !== undefined) return []
  return conditionsAround(problem, winner, MAX_FACTOR).flatMap((condition) => {
    const { what, now, link, resource } = condition
    const concave = isConcave(problem, query, resource === undefined ? [] : [resource])
    return (['lower', 'higher'] as const).flatMap((direction) => {
      if (cannotLose(query, condition, direction, concave)) return []
      const search = new BreakpointSearch(condition, query, winner, concave)
      const found = concave ? search.inwards(direction) : search.outwards(direction)
      if (!found) return []
      const stages = found.plan?.stages ?? []
      return [
        {
          what,
          ...(link && { link }),
          ...(resource !== undefined && { resource }),
          direction,
          from: now,
          at: found.value,
          planId: found.plan?.id ?? null,
          resources: stages.map((stage) => stage.resource),
          exact: concave,
        },
      ]
    })
  })
}

/** True if the change cannot make another plan better than the winner, so that no search is needed. */
function cannotLose(
  query: OptimiserQuery,
  { what, used }: Condition,
  direction: 'lower' | 'higher',
  concave: boolean,
): boolean {
  const worsens = (direction === 'higher') !== (what === 'bandwidth')
  // A tier's share of the compute time falls if other tiers take longer, so another plan may become feasible.
  if (!used) return worsens && (concave || query.maxTierShare === undefined)
  // Every plan crosses a link at most once, so no other plan gains more than the winner if the round trip falls.
  return what === 'rtt' && !worsens && concave && query.objective === 'latency'
}

interface Breakpoint {
  /** Value of the condition. */
  value: number
  /** The plan that is as good there; undefined if the winner is no longer feasible and no other plan is. */
  plan: Plan | undefined
}

/** Finds the breakpoints of one condition. */
class BreakpointSearch {
  readonly #condition: Condition
  readonly #query: OptimiserQuery
  readonly #winner: Plan
  /** Limit on latency, if the search does not apply it. */
  readonly #limitMs: number

  constructor(condition: Condition, query: OptimiserQuery, winner: Plan, concave: boolean) {
    const { maxLatencyMs = Infinity, ...rest } = query
    // If latency is the objective, the winner keeps the limit or no plan does.
    const late = concave && query.objective === 'latency'
    this.#condition = condition
    this.#query = late ? rest : query
    this.#winner = winner
    this.#limitMs = late ? maxLatencyMs : Infinity
  }

  /** For costs that are linear in the condition's coordinate. */
  inwards(direction: 'lower' | 'higher'): Breakpoint | undefined {
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
   * Assumes nothing about costs, except that the winner does not lose and win again between two probes. If the condition is
   * no part of the winner's cost, other plans only gain outwards, and one probe at the end suffices.
   */
  outwards(direction: 'lower' | 'higher'): Breakpoint | undefined {
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

  #halve(
    kept: number,
    lost: number,
    best: BestPlan | undefined,
    toValue: (at: number) => number,
  ): Breakpoint {
    let [low, high, rival] = [kept, lost, best]
    for (let step = 0; step < HALVINGS; step += 1) {
      const middle = (low + high) / 2
      const there = this.#solve(middle)
      if (this.#stillWins(there, middle)) low = middle
      else [high, rival] = [middle, there]
    }
    return { value: toValue(high), plan: rival?.plan }
  }

  /** True if the winner is feasible there and no plan is better: if it were infeasible, the best would cost another value. */
  #stillWins(best: BestPlan | undefined, at: number): boolean {
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

  #solve(at: number): BestPlan | undefined {
    return solveBest(this.#condition.at(at), this.#query)
  }

  #price(plan: Plan, at: number): number {
    return reprice(this.#condition.at(at), this.#query, plan).value
  }
}

/** @param largest of the numbers that the values were computed from: rounding errors are relative to it. */
function isAsGood(value: number, least: number, largest: number): boolean {
  return value <= least * (1 + TOLERANCE) + largest * 1e-14
}

/** One condition that the winner may be sensitive to. */
export interface Condition {
  what: 'bandwidth' | 'rtt' | 'slowdown'
  link?: { from: string; to: string }
  resource?: string
  /** Current value: Mbps towards the later tier, ms, or the slowdown. */
  now: number
  /** True if it is part of the winner's cost. */
  used: boolean
  /** Current coordinate, in which costs are linear: the factor of the inverse bandwidth, ms, or the slowdown. */
  coordinate: number
  /** Smallest and largest coordinate. */
  range: [number, number]
  toValue(coordinate: number): number
  /** The problem with only this condition changed. */
  at(coordinate: number): Problem
}

/** Largest round trip for a link of 0 ms: more than that of a satellite link. */
const MAX_RTT_MS = 1000

/** All conditions, those of the winner's cost first. @param factor of variation in each direction. */
export function conditionsAround(problem: Problem, winner: Plan, factor: number): Condition[] {
  const all = [
    ...problem.links.flatMap((link, index) => [
      bandwidthOf(problem, link, index, winner, factor),
      rttOf(problem, link, index, winner, factor),
    ]),
    ...problem.resources.map((resource, index) => slowdownOf(problem, resource, index, winner, factor)),
  ]
  return [...all.filter(({ used }) => used), ...all.filter(({ used }) => !used)]
}

function crosses(winner: Plan, { from, to }: PlanningLink): boolean {
  return winner.transfers.some((transfer) => transfer.from === from && transfer.to === to)
}

/** Both directions and their uncertainties change by the same factor. */
function bandwidthOf(
  problem: Problem,
  link: PlanningLink,
  index: number,
  winner: Plan,
  factor: number,
): Condition {
  const { from, to, uncertainty, bandwidthMbps, returnBandwidthMbps } = link
  const scaled = (by: number): PlanningLink => ({
    ...link,
    bandwidthMbps: bandwidthMbps * by,
    returnBandwidthMbps: returnBandwidthMbps * by,
    uncertainty: uncertainty && {
      ...uncertainty,
      bandwidthMbps: uncertainty.bandwidthMbps * by,
      returnBandwidthMbps: uncertainty.returnBandwidthMbps * by,
    },
  })
  return {
    what: 'bandwidth',
    link: { from, to },
    now: bandwidthMbps,
    used: crosses(winner, link),
    coordinate: 1,
    range: [1 / factor, factor],
    toValue: (coordinate) => bandwidthMbps / coordinate,
    at: (coordinate) => withLink(problem, index, scaled(1 / coordinate)),
  }
}

function rttOf(problem: Problem, link: PlanningLink, index: number, winner: Plan, factor: number): Condition {
  const { from, to, rttMs } = link
  return {
    what: 'rtt',
    link: { from, to },
    now: rttMs,
    used: crosses(winner, link),
    coordinate: rttMs,
    range: [rttMs / factor, rttMs === 0 ? MAX_RTT_MS : rttMs * factor],
    toValue: (coordinate) => coordinate,
    at: (coordinate) => withLink(problem, index, { ...link, rttMs: coordinate }),
  }
}

function slowdownOf(
  problem: Problem,
  resource: PlanningResource,
  index: number,
  winner: Plan,
  factor: number,
): Condition {
  const { name, slowdown } = resource
  // A source that runs no layer may still encode.
  const sends = winner.transfers.some(({ from, encodeMs }) => from === name && encodeMs > 0)
  return {
    what: 'slowdown',
    resource: name,
    now: slowdown,
    used: sends || winner.stages.some((stage) => stage.resource === name),
    coordinate: slowdown,
    range: [slowdown / factor, slowdown * factor],
    toValue: (coordinate) => coordinate,
    at: (coordinate) => ({
      ...problem,
      resources: problem.resources.with(index, { ...resource, slowdown: coordinate }),
    }),
  }
}

function withLink(problem: Problem, index: number, link: PlanningLink): Problem {
  return { ...problem, links: problem.links.with(index, link) }
}
