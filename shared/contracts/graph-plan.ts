/** Plans of the graph view: stages are any layers of which no tensor goes back, not only ranges. */
import { z } from 'zod'
import { byteCount, ModelId, ms, ResourceName, ShapesKey, TierName } from './common.ts'
import { Interval, Intervals, OBJECTIVES } from './plan.ts'
import { Served } from './profile.ts'
import { RuntimeOptions } from './resource.ts'

const layerNumber = z.number().int().nonnegative()

export const GraphStage = z.object({
  resource: ResourceName,
  tier: TierName,
  /** [from, to) of the canonical order, ascending. */
  layers: z.array(z.tuple([layerNumber, layerNumber])),
  computeMs: ms,
  weightBytes: byteCount,
  memoryBytes: byteCount,
  options: RuntimeOptions.optional(),
})
export type GraphStage = z.infer<typeof GraphStage>

export const GraphTransfer = z.object({
  from: ResourceName,
  to: ResourceName,
  tensors: z.array(z.string()),
  bytes: byteCount,
  ms,
  returnBytes: byteCount,
  returnMs: ms,
})
export type GraphTransfer = z.infer<typeof GraphTransfer>

export const GraphPlan = z.object({
  /** Only of a plan that can be deployed: the chain plan that it is. */
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
  /** As of a chain plan. */
  interval: Interval,
  intervals: Intervals,
  bottleneckMs: ms,
  bytes: byteCount,
  /** Absent without watts; without prices. */
  energyJ: z.number().nonnegative().optional(),
  price: z.number().nonnegative().optional(),
  native: z.boolean(),
  emulated: z.boolean(),
  /** What makes the numbers doubtful: a profile that failed its own check. */
  warnings: z.array(z.string()),
})
export type GraphPlan = z.infer<typeof GraphPlan>

/** What a query with `view=graph` is answered with. */
export const GraphPlanAnswer = z.object({
  view: z.literal('graph'),
  model: ModelId,
  shapesKey: ShapesKey,
  objective: z.enum([...OBJECTIVES, 'weighted']),
  confidence: z.enum(['median', 'upper']),
  /** Best first, one per way through the machines; never empty: no plan is an `infeasible` error. */
  plans: z.array(GraphPlan),
  native: z.array(GraphPlan),
  /** One sentence: what the winner saves and where. */
  why: z.string(),
  /** No plan is better than the first by more than this share of its value; 0: it is the best. */
  gap: z.number().min(0),
  leftOut: z.array(z.object({ resource: ResourceName, reason: z.string() })),
  emulated: z.boolean(),
  notes: z.array(z.string()),
  /** Of the profiles planned with, those that serving has been held against. Shown, never used. */
  served: z.array(Served.extend({ resource: ResourceName })),
})
export type GraphPlanAnswer = z.infer<typeof GraphPlanAnswer>
