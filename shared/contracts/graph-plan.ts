/** Plans of the graph view: a stage may be any set of layers, not only a range, as long as no tensor flows back. */
import { z } from 'zod'
import { byteCount, ModelId, ms, ResourceName, ShapesKey, TierName } from './common.ts'
import { Interval, Intervals, OBJECTIVES } from './plan.ts'
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
type GraphStage = z.infer<typeof GraphStage>

const GraphTransfer = z.object({
  from: ResourceName,
  to: ResourceName,
  tensors: z.array(z.string()),
  bytes: byteCount,
  ms,
  returnBytes: byteCount,
  returnMs: ms,
})
type GraphTransfer = z.infer<typeof GraphTransfer>

export const GraphPlan = z.object({
  /** Id of the equivalent chain plan; only for a plan that can be deployed. */
  id: z.string().optional(),
  deployable: z.boolean(),
  model: z.string(),
  shapesKey: z.string(),
  source: ResourceName,
  stages: z.array(GraphStage).min(1),
  transfers: z.array(GraphTransfer),
  computeMs: ms,
  transferMs: ms,
  predictedMs: ms,
  /** As in a chain plan. */
  interval: Interval,
  intervals: Intervals,
  bottleneckMs: ms,
  bytes: byteCount,
  /** Joules per request, absent without watts; price per request, absent without prices. */
  energyJ: z.number().nonnegative().optional(),
  price: z.number().nonnegative().optional(),
  native: z.boolean(),
  emulated: z.boolean(),
  /** Reasons to doubt the numbers: a profile that failed its own check. */
  warnings: z.array(z.string()),
})
export type GraphPlan = z.infer<typeof GraphPlan>

/** Answer to a query with `view=graph`. */
export const GraphPlanAnswer = z.object({
  view: z.literal('graph'),
  model: ModelId,
  shapesKey: ShapesKey,
  objective: z.enum([...OBJECTIVES, 'weighted']),
  confidence: z.enum(['median', 'upper']),
  /** Best first, one per route through the machines; never empty: without a plan the answer is an `infeasible` error. */
  plans: z.array(GraphPlan),
  native: z.array(GraphPlan),
  /** One sentence on the savings of the best plan and their place. */
  why: z.string(),
  /** No plan is better than the first by more than this share of its value; 0: the first is optimal. */
  gap: z.number().min(0),
  leftOut: z.array(z.object({ resource: ResourceName, reason: z.string() })),
  emulated: z.boolean(),
  notes: z.array(z.string()),
  /** Comparisons of serving with the profiles used. For information, not used in planning. */
  served: z.array(Served.extend({ resource: ResourceName })),
})
export type GraphPlanAnswer = z.infer<typeof GraphPlanAnswer>
