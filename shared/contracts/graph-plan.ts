/** Plans of the graph view: a stage may be any set of layers, not only a range, as long as no tensor flows back. */
import { z } from 'zod'
import { byteCount, ms, ResourceName, TierName } from './common.ts'
import { PlanAnswer, PlanCosts } from './plan.ts'
import { Served } from './profile.ts'
import { RuntimeOptions } from './resource.ts'

const layerNumber = z.number().int().nonnegative()

const GraphStage = z.object({
  resource: ResourceName,
  tier: TierName,
  /** [from, to) of the canonical order, ascending. */
  layers: z.array(z.tuple([layerNumber, layerNumber])),
  computeMs: ms,
  weightBytes: byteCount,
  memoryBytes: byteCount,
  options: RuntimeOptions.optional(),
})

const GraphTransfer = z.object({
  from: ResourceName,
  to: ResourceName,
  tensors: z.array(z.string()),
  bytes: byteCount,
  ms,
  returnBytes: byteCount,
  returnMs: ms,
})

export const GraphPlan = z.object({
  /** Id of the equivalent chain plan; only for a plan that can be deployed. */
  id: z.string().optional(),
  deployable: z.boolean(),
  model: z.string(),
  shapesKey: z.string(),
  source: ResourceName,
  stages: z.array(GraphStage).min(1),
  transfers: z.array(GraphTransfer),
  ...PlanCosts.shape,
})
export type GraphPlan = z.infer<typeof GraphPlan>

/** Answer to a query with `view=graph`. */
export const GraphPlanAnswer = PlanAnswer.omit({ pareto: true, considered: true, frontSize: true }).extend({
  view: z.literal('graph'),
  /** Best first, one per route through the machines; never empty: without a plan the answer is an `infeasible` error. */
  plans: z.array(GraphPlan),
  native: z.array(GraphPlan),
  /** No plan is better than the first by more than this share of its value; 0: the first is optimal. */
  gap: z.number().min(0),
  /** Comparisons of serving with the profiles used. For information, not used in planning. */
  served: z.array(Served.extend({ resource: ResourceName })),
})
export type GraphPlanAnswer = z.infer<typeof GraphPlanAnswer>
