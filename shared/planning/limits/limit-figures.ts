/** What a plan of either view comes to where a constraint has a limit: the limit that it just keeps. */
import type { GraphPlan } from '../../contracts/graph-plan.ts'
import type { Plan } from '../../contracts/plan.ts'
import type { Limited } from '../explain/conflict.ts'
import type { PlanningResource } from '../problem/problem.ts'

export function limitKeptBy(
  plan: Plan | GraphPlan,
  constraint: Limited,
  resources: readonly Pick<PlanningResource, 'name' | 'tier'>[],
): number {
  switch (constraint.kind) {
    case 'maxTierMs':
      return tierMs(plan, constraint.name)
    case 'maxTierShare':
      return plan.computeMs > 0 ? (100 * tierMs(plan, constraint.name)) / plan.computeMs : 0
    case 'maxUploadBytes':
      return sentFrom(plan, (name) =>
        resources.some((one) => one.name === name && one.tier === constraint.name),
      )
    case 'maxMemoryBytes':
      return sum(
        plan.stages.map(({ resource, memoryBytes }) => (resource === constraint.name ? memoryBytes : 0)),
      )
    case 'maxTotalUploadBytes':
      return plan.bytes
    case 'maxLatencyMs':
      return plan.predictedMs
    case 'minThroughput':
      return 1000 / plan.bottleneckMs
    case 'maxEnergyJ':
      return plan.energyJ ?? 0
    case 'maxPrice':
      return plan.price ?? 0
    case 'maxAccuracyLoss':
      return 'accuracyLoss' in plan ? plan.accuracyLoss : 0
  }
}

function tierMs({ stages }: Plan | GraphPlan, name: string): number {
  return sum(stages.map(({ tier, computeMs }) => (tier === name ? computeMs : 0)))
}

function sentFrom({ transfers }: Plan | GraphPlan, isMeant: (resource: string) => boolean): number {
  return sum(
    transfers.map((transfer) => {
      const bytes = 'wireBytes' in transfer ? transfer.wireBytes : transfer.bytes
      return isMeant(transfer.from) ? bytes : 0
    }),
  )
}

function sum(values: readonly number[]): number {
  return values.reduce((total, value) => total + value, 0)
}
