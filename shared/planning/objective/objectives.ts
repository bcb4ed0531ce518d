/** Objectives: the criteria that a search minimises, and the same values of a finished plan. */
import { OBJECTIVES, type Objective, type Plan } from '../../contracts/plan.ts'
import type { Constraint, OptimiserQuery, SumKind } from '../limits/constraints.ts'

/** Totals of a plan in the units of the chain search. */
export interface PlanTotals {
  latencyMs: number
  bottleneckMs: number
  bytes: number
  /** W·ms = mJ. */
  energyMj: number
  /** Price in units of 10⁻⁹. */
  priceNano: number
  /** Share of answers that codecs spoil. */
  loss: number
}

/** A weighted sum over a plan: energy in W·ms (mJ), price in units of 10⁻⁹. */
export interface Metric {
  weights: Partial<Record<Exclude<SumKind, 'share'>, number>>
  /** Adds ms of compute on the tier `rank` minus `part` of all compute. */
  share?: { rank: number; part: number }
}

/** A metric plus `bottleneck` times the slowest step. */
export interface Criterion {
  metric: Metric | undefined
  bottleneck: number
  of(totals: PlanTotals): number
  /** Converts a value of the search into the units of a plan: joules, price. */
  toPlanUnits(value: number): number
}

const same = (value: number) => value

/** In the units of the search: W·ms for energy, 10⁻⁹ for price. */
const CRITERIA: Record<Objective, Criterion> = {
  latency: {
    metric: { weights: { latency: 1 } },
    bottleneck: 0,
    of: (totals) => totals.latencyMs,
    toPlanUnits: same,
  },
  throughput: { metric: undefined, bottleneck: 1, of: (totals) => totals.bottleneckMs, toPlanUnits: same },
  bytes: {
    metric: { weights: { bytes: 1 } },
    bottleneck: 0,
    of: (totals) => totals.bytes,
    toPlanUnits: same,
  },
  energy: {
    metric: { weights: { energy: 1 } },
    bottleneck: 0,
    of: (totals) => totals.energyMj,
    toPlanUnits: (mJ) => mJ / 1000,
  },
  price: {
    metric: { weights: { price: 1 } },
    bottleneck: 0,
    of: (totals) => totals.priceNano,
    toPlanUnits: (nano) => nano / 1e9,
  },
}

/** The time of the slowest step. */
export const THROUGHPUT: Criterion = CRITERIA.throughput

/** The criteria that order plans, most important first: the objective, then latency. */
export function criteriaOf({ objective, weights }: OptimiserQuery): Criterion[] {
  if (objective === 'latency') return [CRITERIA.latency]
  return [objective === 'weighted' ? weightedSum(weights ?? {}) : CRITERIA[objective], CRITERIA.latency]
}

/** One criterion per objective of a Pareto front. */
export function frontCriteria(objectives: readonly Objective[]): Criterion[] {
  return objectives.map((objective) => CRITERIA[objective])
}

const LOSS: Criterion = {
  metric: { weights: { loss: 1 } },
  bottleneck: 0,
  of: (totals) => totals.loss,
  toPlanUnits: same,
}

/** The criterion that a limit of this kind bounds; undefined if it does not bound a total of the plan. */
export function limitCriterion(kind: Constraint['kind']): Criterion | undefined {
  switch (kind) {
    case 'maxLatencyMs':
      return CRITERIA.latency
    case 'minThroughput':
      return CRITERIA.throughput
    case 'maxTotalUploadBytes':
      return CRITERIA.bytes
    case 'maxEnergyJ':
      return CRITERIA.energy
    case 'maxPrice':
      return CRITERIA.price
    case 'maxAccuracyLoss':
      return LOSS
    default:
      return undefined
  }
}

type Weights = NonNullable<OptimiserQuery['weights']>

function weightedSum(weights: Weights): Criterion {
  const { latency = 0, throughput = 0, bytes = 0, energy = 0, price = 0 } = weights
  return {
    metric: { weights: { latency, bytes, energy: energy / 1000, price: price / 1e9 } },
    bottleneck: throughput,
    toPlanUnits: same,
    of: (totals) =>
      latency * totals.latencyMs +
      throughput * totals.bottleneckMs +
      bytes * totals.bytes +
      (energy * totals.energyMj) / 1000 +
      (price * totals.priceNano) / 1e9,
  }
}

export type Goal = Pick<OptimiserQuery, 'objective' | 'weights'>

/** The totals of a plan, of either view, that objectives are made of. */
export type PlanValues = Pick<Plan, 'predictedMs' | 'bottleneckMs' | 'bytes' | 'energyJ' | 'price'>

/**
 * The value of a plan for an objective, in the plan's units: ms, bytes, joules, price. Smaller is better.
 * @example objectiveOf(plan, { objective: 'latency' }) // plan.predictedMs
 */
export function objectiveOf(plan: PlanValues, { objective, weights }: Goal): number {
  switch (objective) {
    case 'latency':
      return plan.predictedMs
    case 'throughput':
      return plan.bottleneckMs
    case 'bytes':
      return plan.bytes
    case 'energy':
      return plan.energyJ ?? 0
    case 'price':
      return plan.price ?? 0
    case 'weighted':
      return OBJECTIVES.reduce(
        (sum, one) => sum + (weights?.[one] ?? 0) * objectiveOf(plan, { objective: one }),
        0,
      )
  }
}

/** The first plan of least value; undefined if there is none. */
export function bestOf<P extends PlanValues>(plans: readonly P[], goal: Goal): P | undefined {
  return plans.reduce<P | undefined>(
    (best, plan) => (best && objectiveOf(best, goal) <= objectiveOf(plan, goal) ? best : plan),
    undefined,
  )
}

/** Half the width of the 95 % interval of a plan's value for an objective; 0 for bytes, which are exact. */
export function uncertaintyOf(plan: PlanValues & Pick<Plan, 'interval' | 'intervals'>, goal: Goal): number {
  const { interval, intervals } = plan
  const at = (bound: 'low' | 'high'): PlanValues => ({
    predictedMs: interval[`${bound}Ms`],
    bottleneckMs: intervals.bottleneckMs[bound],
    bytes: plan.bytes,
    energyJ: intervals.energyJ?.[bound],
    price: intervals.price?.[bound],
  })
  return (objectiveOf(at('high'), goal) - objectiveOf(at('low'), goal)) / 2
}
