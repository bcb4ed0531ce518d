/** Questions to the planner, its answers, and plans that are live. */
import { z } from 'zod'
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
import { CodecName } from './calibration.ts'
import { figures, nameList, numeric, yesOrNo } from './query-values.ts'
import { RuntimeOptions } from './resource.ts'
import { WhatIf } from './what-if-fields.ts'

/** `7:edge` is layer 7, `0-5:device` are layers 0..4. */
export const LayersOnTier = z
  .string()
  .regex(/^\d{1,9}(-\d{1,9})?:[a-z0-9][a-z0-9-]*$/, 'reads <layer>:<tier> or <from>-<to>:<tier>')

/** What can be made small: ms, ms of the slowest step, bytes on all links, joules, the figures' own currency. */
export const OBJECTIVES = ['latency', 'throughput', 'bytes', 'energy', 'price'] as const
export type Objective = (typeof OBJECTIVES)[number]

const ObjectiveName = z
  .string()
  .refine((name) => OBJECTIVES.some((one) => one === name), `an objective is ${OBJECTIVES.join(', ')}`)
const cost = numeric(z.number().nonnegative())
const costsByResource = figures(ResourceName, cost)

/** Everything a plan can be asked for; in a URL, lists are comma-separated. */
export const PlanQuery = z.strictObject({
  model: z.union([ModelId, Name]),
  inputShapes: InputShapes.optional(),
  /**
   * `throughput`: the shortest slowest step (stages overlap, one request in each). `weighted`: the sum that `weights`
   * describes. Latency breaks ties.
   */
  objective: z.enum([...OBJECTIVES, 'weighted']).default('latency'),
  /** What one ms (latency, throughput: of the slowest step), byte, joule or unit of price counts. */
  weights: figures(ObjectiveName, cost).optional(),
  /** Instead of the best plans, all that are best in some trade-off between 2–4 objectives; `objective` is not looked at. */
  pareto: nameList(z.enum(OBJECTIVES)).optional(),
  top: numeric(z.number().int().min(1).max(1000)).default(5),
  /** `resources`: of plans on the same resources only the best is listed. */
  distinct: z.enum(['plans', 'resources']).default('plans'),
  /** `upper`: every time is taken at its 95 % bound. */
  confidence: z.enum(['median', 'upper']).default('median'),
  /** `graph`: stages may cut through parallel branches. */
  view: z.enum(['chain', 'graph']).default('chain'),
  /**
   * The search stops after so long and says how far from the best its answer may be. Default in the chain view: 30 s.
   */
  timeLimitMs: numeric(z.number().positive().max(600_000)).optional(),
  /** The resource the input is at. Default: the only resource of the first tier. */
  source: ResourceName.optional(),
  mustUseTiers: nameList(TierName).optional(),
  mustNotUseTiers: nameList(TierName).optional(),
  mustUseResources: nameList(ResourceName).optional(),
  mustNotUseResources: nameList(ResourceName).optional(),
  /** Privacy: layers 0..k-1 run on the source. */
  firstLayersOnDevice: numeric(z.number().int().nonnegative()).optional(),
  /** Privacy: this tensor is made on the source, and so is everything before it. */
  tensorOnDevice: z.string().min(1).max(1000).optional(),
  mustRunLayers: nameList(LayersOnTier).optional(),
  mustNotRunLayers: nameList(LayersOnTier).optional(),
  /** Per tier: most compute time of its stage. */
  maxTierMs: figures(TierName, cost).optional(),
  /** Per tier: most percent of the plan's compute time. */
  maxTierShare: figures(TierName, numeric(z.number().min(0).max(100))).optional(),
  /** Per tier: most wire bytes sent on to a later tier (the input too, when the source runs nothing); not the answer. */
  maxUploadBytes: figures(TierName, cost).optional(),
  /** The same over all tiers together. */
  maxTotalUploadBytes: cost.optional(),
  /** Per resource: most memory for the weights and the largest activations of its stage (`Stage.memoryBytes`). */
  maxMemoryBytes: figures(ResourceName, cost).optional(),
  maxLatencyMs: numeric(z.number().positive()).optional(),
  /** Requests per second when stages overlap: no step takes longer than 1 s / this. */
  minThroughput: numeric(z.number().positive()).optional(),
  /** Joules per request; needs watts. */
  maxEnergyJ: cost.optional(),
  /** Price per request; needs prices. */
  maxPrice: cost.optional(),
  minStages: numeric(z.number().int().min(1).max(100)).optional(),
  maxStages: numeric(z.number().int().min(1).max(100)).optional(),
  /** `clean` cuts only where ONNX Runtime fuses nothing; `any` also elsewhere, never inside a quantisation pattern. */
  cuts: z.enum(['clean', 'any']).default('clean'),
  /** Codecs that may be used beside `none`. Default: all that are calibrated. */
  codecs: nameList(CodecName).optional(),
  /** Share of answers (0..1) that codecs may spoil: the sum over the plan's hops of their 95 % bounds. */
  maxAccuracyLoss: numeric(z.number().min(0).max(1)).default(0),
  /** Watts while it computes, encodes or decodes; while it waits; while it sends. What is not given is 0. */
  busyWatts: costsByResource.optional(),
  idleWatts: costsByResource.optional(),
  transmitWatts: costsByResource.optional(),
  /** Per second of compute, and per 10^9 bytes that it sends on. */
  pricePerSecond: costsByResource.optional(),
  pricePerGb: costsByResource.optional(),
  /** `own` (default): with the runtime options a resource runs with now. `any`: the planner chooses among measured ones. */
  options: z.enum(['own', 'any']).optional(),
  /** Ids of the only profiles to plan with. */
  profiles: nameList(z.string().min(1).max(300)).optional(),
  /** Also say at which bandwidth, round trip or slowdown another plan takes over. */
  sensitivity: yesOrNo.optional(),
  ...WhatIf.shape,
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
  /** Runtime options that the stage is planned with; absent: the resource's own. */
  options: RuntimeOptions.optional(),
})
export type Stage = z.infer<typeof Stage>

/** The tensors of boundary `boundary` cross from → to; `ms` is round trip + cost per message + wire bytes / bandwidth. */
export const Transfer = z.object({
  from: ResourceName,
  to: ResourceName,
  boundary: z.number().int().nonnegative(),
  /** Of the tensors as they are. */
  bytes: byteCount,
  /** Encoded by `from`, decoded by `to`. */
  codec: CodecName.default('none'),
  /** What is sent: `bytes` times the codec's ratio. */
  wireBytes: byteCount,
  encodeMs: ms,
  decodeMs: ms,
  ms,
  /** The answer's way back over the same connection, never compressed: bytes / return bandwidth. */
  returnBytes: byteCount,
  returnMs: ms,
})
export type Transfer = z.infer<typeof Transfer>

export const Interval = z.object({ lowMs: ms, highMs: ms })
const bounds = z.object({ low: z.number().nonnegative(), high: z.number().nonnegative() })

/** The same of the other figures that are made of times, in their own units. Bytes are exact. */
export const Intervals = z.object({
  bottleneckMs: bounds,
  energyJ: bounds.optional(),
  price: bounds.optional(),
})
export type Intervals = z.infer<typeof Intervals>

export const Plan = z.object({
  /** Says everything needed to deploy it; see shared/contracts/plan-id.ts. */
  id: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  /** Where the input is: it opens the first link when the first stage runs elsewhere. */
  source: ResourceName,
  stages: z.array(Stage).min(1),
  transfers: z.array(Transfer),
  computeMs: ms,
  /** All hops with encoding, decoding and the answer's way back. */
  transferMs: ms,
  predictedMs: ms,
  /** Where `predictedMs` is expected to lie in 95 % of cases; both ends are it when nothing is known. */
  interval: Interval,
  intervals: Intervals,
  /**
   * The slowest step: 1000 / bottleneckMs requests per second when steps overlap. A step is a resource's compute with
   * its decoding and encoding, or a transfer there and back.
   */
  bottleneckMs: ms,
  /** Wire bytes of all hops, request direction. */
  bytes: byteCount,
  /** Per request; absent without watts. */
  energyJ: z.number().nonnegative().optional(),
  /** Per request, in the currency of the prices; absent without prices. */
  price: z.number().nonnegative().optional(),
  /** Bound of the accuracy lost to codecs: the sum over the hops, at most 1. */
  accuracyLoss: z.number().min(0).max(1),
  /** True when all layers run on one resource. */
  native: z.boolean(),
  /** True when a slowdown or a link behind any of these numbers is emulated. */
  emulated: z.boolean(),
  /** What makes the numbers doubtful: a profile that failed its own check. */
  warnings: z.array(z.string()),
})
export type Plan = z.infer<typeof Plan>

export const PlanAnswer = z.object({
  model: ModelId,
  shapesKey: ShapesKey,
  objective: z.enum([...OBJECTIVES, 'weighted']),
  /** Set when `plans` is the front of these objectives, by the first of them. */
  pareto: z.array(z.enum(OBJECTIVES)).optional(),
  confidence: z.enum(['median', 'upper']),
  /** Best first; never empty: no plan is an `infeasible` error. */
  plans: z.array(Plan),
  /** Everything on one resource, for each resource, ignoring the constraints. */
  native: z.array(Plan),
  /** One sentence: what the winner saves and where. */
  why: z.string(),
  /** Plans that the tiers, resources, cuts and codecs asked for leave; limits on costs and layers aside. */
  considered: z.number().int().nonnegative(),
  /** Set when the front has more plans than are listed. */
  frontSize: z.number().int().positive().optional(),
  /** Set when the time limit was reached: no plan is better than the first by more than this share of its value. */
  gap: z.number().min(0).max(1).optional(),
  leftOut: z.array(z.object({ resource: ResourceName, reason: z.string() })),
  emulated: z.boolean(),
  notes: z.array(z.string()),
})
export type PlanAnswer = z.infer<typeof PlanAnswer>

export const DEPLOYMENT_STATES = ['loading', 'ready', 'failed'] as const
/** `native`: it runs the rest of the model itself, if it fits there. `none`: the request fails, naming the hop. */
export const FALLBACKS = ['native', 'none'] as const
/**
 * `chain`: back through every hop. `direct`: from the last hop straight to the entry, where that can be reached; of three
 * hops and more.
 */
export const ANSWERS = ['chain', 'direct'] as const
/** `plan` names a plan by the id that the planner printed. */
export const DeploymentRequest = z.strictObject({
  plan: z.string(),
  name: Name.optional(),
  /** Resources that may stand in for one of their own tier. Default: none, as constraints may have excluded them. */
  alternates: z.array(ResourceName).optional(),
  fallback: z.enum(FALLBACKS).optional(),
  answer: z.enum(ANSWERS).optional(),
})
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
      /** How the hop before encodes what it sends here; absent = none. */
      codec: CodecName.optional(),
      /** Others that may run this hop when its resource fails, tried in this order. */
      alternates: z.array(ResourceName).optional(),
    }),
  ),
  /** What a resource does when nobody takes the next hop; absent = native. */
  fallback: z.enum(FALLBACKS).optional(),
  /** How the last hop's outputs come back; absent = chain. */
  answer: z.enum(ANSWERS).optional(),
  predictedMs: ms,
  emulated: z.boolean(),
  state: z.enum(DEPLOYMENT_STATES),
  error: z.string().optional(),
  createdAt: timestamp,
})
export type Deployment = z.infer<typeof Deployment>
