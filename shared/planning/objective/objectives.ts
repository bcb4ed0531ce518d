/** Objectives: what the search makes small, and the same figure of a finished plan. */
import { OBJECTIVES, type Objective, type Plan } from '../../contracts/plan.ts'
import type { Values } from '../chain/route-costs.ts'
import type { Constraint, OptimiserQuery } from '../limits/constraints.ts'
import type { Metric } from '../chain/metrics.ts'

/** A sum over the plan plus `bottleneck` times its slowest step. */
export interface Criterion {
  metric: Metric | undefined
  bottleneck: number
  of(values: Values): number
  /** The search's figure in the units of a plan: joules, price. */
  inUnits(value: number): number
}

const same = (value: number) => value

/** In the search's units: W·ms for energy, 10⁻⁹ for price. */
const CRITERIA: Record<Objective, Criterion> = {
  latency: {
    metric: { weights: { latency: 1 } },
    bottleneck: 0,
    of: (values) => values.latencyMs,
    inUnits: same,
  },
  throughput: { metric: undefined, bottleneck: 1, of: (values) => values.bottleneckMs, inUnits: same },
  bytes: { metric: { weights: { bytes: 1 } }, bottleneck: 0, of: (values) => values.bytes, inUnits: same },
  energy: {
    metric: { weights: { energy: 1 } },
    bottleneck: 0,
    of: (values) => values.energyMj,
    inUnits: (mJ) => mJ / 1000,
  },
  price: {
    metric: { weights: { price: 1 } },
    bottleneck: 0,
    of: (values) => values.priceNano,
    inUnits: (nano) => nano / 1e9,
  },
}

/** The slowest step. */
export const THROUGHPUT: Criterion = CRITERIA.throughput

/** The criteria that order plans, first things first: the objective, then latency. */
export function criteriaOf({ objective, weights }: OptimiserQuery): Criterion[] {
  if (objective === 'latency') return [CRITERIA.latency]
  return [objective === 'weighted' ? weightedSum(weights ?? {}) : CRITERIA[objective], CRITERIA.latency]
}

/** One criterion per objective of a front. */
export function frontCriteria(objectives: readonly Objective[]): Criterion[] {
  return objectives.map((objective) => CRITERIA[objective])
}

const LOSS: Criterion = {
  metric: { weights: { loss: 1 } },
  bottleneck: 0,
  of: (values) => values.loss,
  inUnits: same,
}

/** What a limit of this kind is a limit on, where that is a figure of the whole plan. */
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
    inUnits: same,
    of: (values) =>
      latency * values.latencyMs +
      throughput * values.bottleneckMs +
      bytes * values.bytes +
      (energy * values.energyMj) / 1000 +
      (price * values.priceNano) / 1e9,
  }
}

export type Goal = Pick<OptimiserQuery, 'objective' | 'weights'>

/** The figures of a plan, of either view, that an objective looks at. */
export type Valued = Pick<Plan, 'predictedMs' | 'bottleneckMs' | 'bytes' | 'energyJ' | 'price'>

/** The objective's figure of a plan, in the plan's own units: ms, bytes, joules, price. Smaller is better. */
export function objectiveOf(plan: Valued, { objective, weights }: Goal): number {
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

/** Half the width of the 95 % interval of the objective's figure; 0 for bytes, which are exact. */
export function uncertaintyOf(plan: Valued & Pick<Plan, 'interval' | 'intervals'>, goal: Goal): number {
  const { interval, intervals } = plan
  const at = (bound: 'low' | 'high'): Valued => ({
    predictedMs: interval[`${bound}Ms`],
    bottleneckMs: intervals.bottleneckMs[bound],
    bytes: plan.bytes,
    energyJ: intervals.energyJ?.[bound],
    price: intervals.price?.[bound],
  })
  return (objectiveOf(at('high'), goal) - objectiveOf(at('low'), goal)) / 2
}
