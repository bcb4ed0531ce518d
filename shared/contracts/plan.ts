/** Questions to the planner, its answers, and plans that are live. */
import { z } from 'zod'
import { NETWORK_NAMES } from '../network-presets.ts'
import {
  byteCount,
  InputShapes,
  ModelId,
  ms,
  Name,
  ResourceName,
  ShapesKey,
  TierName,
  timestamp,
} from './common.ts'

const nameList = <T extends z.ZodType>(item: T) =>
  z.preprocess(
    (value) => (typeof value === 'string' ? value.split(',').filter(Boolean) : value),
    z.array(item),
  )

/** Figures by name; in a URL `device:20,edge:5`. */
const figures = <K extends z.ZodType<string, string>, V extends z.ZodType>(key: K, value: V) =>
  z.preprocess(
    (given) =>
      typeof given === 'string'
        ? Object.fromEntries(
            given
              .split(',')
              .filter(Boolean)
              .map((pair) => pair.split(/:(.*)/s, 2)),
          )
        : given,
    z.record(key, value),
  )

/** `7:edge` is layer 7, `0-5:device` are layers 0..4. */
export const LayersOnTier = z
  .string()
  .regex(/^\d{1,9}(-\d{1,9})?:[a-z0-9][a-z0-9-]*$/, 'reads <layer>:<tier> or <from>-<to>:<tier>')

export const OBJECTIVES = ['latency', 'throughput'] as const

/** Everything a plan can be asked for; in a URL, lists are comma-separated. */
export const PlanQuery = z.strictObject({
  model: z.union([ModelId, Name]),
  inputShapes: InputShapes.optional(),
  /** `throughput`: the shortest slowest step (stages overlap, one request in each); latency breaks ties. */
  objective: z.enum(OBJECTIVES).default('latency'),
  top: z.coerce.number().int().min(1).max(1000).default(5),
  /** The resource the input is at. Default: the only resource of the first tier. */
  source: ResourceName.optional(),
  mustUseTiers: nameList(TierName).optional(),
  mustNotUseTiers: nameList(TierName).optional(),
  mustUseResources: nameList(ResourceName).optional(),
  mustNotUseResources: nameList(ResourceName).optional(),
  /** Privacy: layers 0..k-1 run on the source. */
  firstLayersOnDevice: z.coerce.number().int().nonnegative().optional(),
  mustRunLayers: nameList(LayersOnTier).optional(),
  mustNotRunLayers: nameList(LayersOnTier).optional(),
  /** Per tier: most compute time of its stage. */
  maxTierMs: figures(TierName, z.coerce.number().nonnegative()).optional(),
  /** Per tier: most bytes sent on to a later tier (the input too, when the source runs nothing); not the answer. */
  maxUploadBytes: figures(TierName, z.coerce.number().nonnegative()).optional(),
  /** Per resource: most memory for the weights and the largest activations of its stage (`Stage.memoryBytes`). */
  maxMemoryBytes: figures(ResourceName, z.coerce.number().nonnegative()).optional(),
  maxLatencyMs: z.coerce.number().positive().optional(),
  /** Requests per second when stages overlap: no stage or transfer takes longer than 1 s / this. */
  minThroughput: z.coerce.number().positive().optional(),
  minStages: z.coerce.number().int().min(1).max(100).optional(),
  maxStages: z.coerce.number().int().min(1).max(100).optional(),
  /** `clean` cuts only where ONNX Runtime fuses nothing; `any` also elsewhere, never inside a quantisation pattern. */
  cuts: z.enum(['clean', 'any']).default('clean'),
  /** What-if: every link as this preset instead of as measured. */
  network: z.enum(NETWORK_NAMES).optional(),
})
export type PlanQuery = z.infer<typeof PlanQuery>

export const Stage = z.object({
  resource: ResourceName,
  tier: TierName,
  from: z.number().int().nonnegative(),
  to: z.number().int().nonnegative(),
  computeMs: ms,
  weightBytes: byteCount,
  /** Weights + the most bytes of tensors alive at one time; without what the runtime itself takes. */
  memoryBytes: byteCount,
})
export type Stage = z.infer<typeof Stage>

/** The tensors of boundary `boundary` cross from → to; `ms` is round trip + bytes / bandwidth. */
export const Transfer = z.object({
  from: ResourceName,
  to: ResourceName,
  boundary: z.number().int().nonnegative(),
  bytes: byteCount,
  ms,
  /** The answer's way back over the same connection: bytes / return bandwidth. */
  returnBytes: byteCount,
  returnMs: ms,
})
export type Transfer = z.infer<typeof Transfer>

export const Plan = z.object({
  /** Says everything needed to deploy it; see shared/plan-id.ts. */
  id: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  /** Where the input is: it opens the first link when the first stage runs elsewhere. */
  source: ResourceName,
  stages: z.array(Stage).min(1),
  transfers: z.array(Transfer),
  computeMs: ms,
  transferMs: ms,
  predictedMs: ms,
  /** The slowest stage or transfer: 1000 / bottleneckMs requests per second when stages overlap. */
  bottleneckMs: ms,
  /** True when all layers run on one resource. */
  native: z.boolean(),
  /** True when a slowdown or a link behind any of these numbers is emulated. */
  emulated: z.boolean(),
})
export type Plan = z.infer<typeof Plan>

export const PlanAnswer = z.object({
  model: ModelId,
  shapesKey: ShapesKey,
  objective: z.enum(OBJECTIVES),
  /** Best first; never empty: no plan is an `infeasible` error. */
  plans: z.array(Plan),
  /** Everything on one resource, for each resource, ignoring the constraints. */
  native: z.array(Plan),
  /** One sentence: what the winner saves and where. */
  why: z.string(),
  considered: z.number().int().nonnegative(),
  leftOut: z.array(z.object({ resource: ResourceName, reason: z.string() })),
  emulated: z.boolean(),
  notes: z.array(z.string()),
})
export type PlanAnswer = z.infer<typeof PlanAnswer>

export const DEPLOYMENT_STATES = ['loading', 'ready', 'failed'] as const
/** `plan` names a plan by the id that the planner printed. */
export const DeploymentRequest = z.strictObject({ plan: z.string(), name: Name.optional() })
export type DeploymentRequest = z.infer<typeof DeploymentRequest>

export const Deployment = z.object({
  /** Serves as a model name at the entry resource: /v2/models/<id>/infer. */
  id: Name,
  planId: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  /** Where clients call it: the plan's source. */
  entry: z.object({ resource: ResourceName, url: z.url() }),
  /** One hop per resource on the path, the source first even if it runs nothing ([0,0)). */
  hops: z.array(
    z.object({
      resource: ResourceName,
      from: z.number().int().nonnegative(),
      to: z.number().int().nonnegative(),
    }),
  ),
  predictedMs: ms,
  emulated: z.boolean(),
  state: z.enum(DEPLOYMENT_STATES),
  error: z.string().optional(),
  createdAt: timestamp,
})
export type Deployment = z.infer<typeof Deployment>
