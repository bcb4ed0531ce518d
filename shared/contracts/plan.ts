/** Plan queries, their answers, and deployments. */
import { z } from 'zod'
import {
  byteCount,
  InputShapes,
  ModelId,
  ms,
  Name,
  ResourceName,
  ServiceUrl,
  ShapesKey,
  TierName,
  timestamp,
} from './common.ts'
import { CodecName } from './calibration.ts'
import { ModelReference } from './model-names.ts'
import { PaceOfPlan } from './plan-pace.ts'
import { BenchmarkProgress } from './job-progress.ts'
import { figures, nameList, numeric, yesOrNo } from './query-values.ts'
import { owner } from './quota.ts'
import { FigureSource, RuntimeOptions } from './resource.ts'
import { ShapeRanges } from './shape-ranges.ts'
import { Verification } from './verification.ts'
import { WhatIf } from './what-if-fields.ts'

/** `7:edge` is layer 7, `0-5:device` are layers 0..4. */
const LayersOnTier = z
  .string()
  .regex(/^\d{1,9}(-\d{1,9})?:[a-z0-9][a-z0-9-]*$/, 'reads <layer>:<tier> or <from>-<to>:<tier>')

/** Quantities to minimise: ms, ms of the slowest step, bytes on all links, joules, price in the currency of the query. */
export const OBJECTIVES = ['latency', 'throughput', 'bytes', 'energy', 'price'] as const
export type Objective = (typeof OBJECTIVES)[number]

const ObjectiveName = z
  .string()
  .refine((name) => OBJECTIVES.some((one) => one === name), `an objective is ${OBJECTIVES.join(', ')}`)
const cost = numeric(z.number().nonnegative())
const costsByResource = figures(ResourceName, cost)

/** A plan query; in a URL, lists are comma-separated. */
export const PlanQuery = z.strictObject({
  model: ModelReference,
  inputShapes: InputShapes.optional(),
  /**
   * `throughput`: the shortest slowest step (stages overlap, one request in each). `weighted`: the sum that `weights`
   * describes. Latency breaks ties.
   */
  objective: z.enum([...OBJECTIVES, 'weighted']).default('latency'),
  /** Weight of one ms (for throughput: of the slowest step), byte, joule or unit of price. */
  weights: figures(ObjectiveName, cost, 'latency:1,energy:20').optional(),
  /** Lists the Pareto front of these 2–4 objectives instead of the best plans; `objective` is ignored. */
  pareto: nameList(z.enum(OBJECTIVES)).optional(),
  top: numeric(z.number().int().min(1).max(1000)).default(5),
  /** `resources`: of plans on the same resources only the best is listed. */
  distinct: z.enum(['plans', 'resources']).default('plans'),
  /** `upper`: every time is taken at its 95 % bound. */
  confidence: z.enum(['median', 'upper']).default('median'),
  /** `graph`: stages may cut through parallel branches. */
  view: z.enum(['chain', 'graph']).default('chain'),
  /**
   * Time limit of the search; the answer then has the distance from the optimum that remains possible. Default in the
   * chain view: 30 s.
   */
  timeLimitMs: numeric(z.number().positive().max(600_000)).optional(),
  /** The resource that has the input. Default: the only resource of the first tier. */
  source: ResourceName.optional(),
  mustUseTiers: nameList(TierName).optional(),
  mustNotUseTiers: nameList(TierName).optional(),
  mustUseResources: nameList(ResourceName).optional(),
  mustNotUseResources: nameList(ResourceName).optional(),
  /** Privacy: layers 0..k-1 run on the source. */
  firstLayersOnDevice: numeric(z.number().int().nonnegative()).optional(),
  /** Privacy: this tensor and everything before it is computed on the source. */
  tensorOnDevice: z.string().min(1).max(1000).optional(),
  mustRunLayers: nameList(LayersOnTier).optional(),
  mustNotRunLayers: nameList(LayersOnTier).optional(),
  /** Per tier: limit of its stage's compute time; of the source's also if it only passes the input on (`relayMs`). */
  maxTierMs: figures(TierName, cost).optional(),
  /** Per tier: limit in percent of the plan's compute time. */
  maxTierShare: figures(TierName, numeric(z.number().min(0).max(100))).optional(),
  /** Per tier: limit of wire bytes sent to later tiers, the input included if the source runs nothing; without answers. */
  maxUploadBytes: figures(TierName, cost).optional(),
  /** The same, summed over all tiers. */
  maxTotalUploadBytes: cost.optional(),
  /** Per resource: limit of the memory for weights and the largest activations of its stage (`Stage.memoryBytes`). */
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
  /** `clean`: only at clean boundaries. `any`: also at others, never inside a quantisation pattern. */
  cuts: z.enum(['clean', 'any']).default('clean'),
  /** Codecs allowed beside `none`. Default: all that are calibrated. */
  codecs: nameList(CodecName).optional(),
  /** Largest share of answers (0..1) that codecs may change: the sum over the plan's hops of their 95 % bounds. */
  maxAccuracyLoss: numeric(z.number().min(0).max(1)).default(0),
  /** Watts of a resource while it computes, encodes or decodes; while it waits; while it sends. Default 0. */
  busyWatts: costsByResource.optional(),
  idleWatts: costsByResource.optional(),
  transmitWatts: costsByResource.optional(),
  /** Price of a resource per second of compute, and per 10^9 bytes that it sends. */
  pricePerSecond: costsByResource.optional(),
  pricePerGb: costsByResource.optional(),
  /** `own` (default): each resource keeps its present runtime options. `any`: the planner chooses among measured ones. */
  options: z.enum(['own', 'any']).optional(),
  /** Ids of the only profiles to plan with. */
  profiles: nameList(z.string().min(1).max(300)).optional(),
  /** Adds the bandwidth, round trip or slowdown at which another plan becomes the best. */
  sensitivity: yesOrNo.optional(),
  ...WhatIf.shape,
})
export type PlanQuery = z.infer<typeof PlanQuery>

const Stage = z.object({
  resource: ResourceName,
  tier: TierName,
  from: z.number().int().nonnegative(),
  to: z.number().int().nonnegative(),
  computeMs: ms,
  weightBytes: byteCount,
  /** Weights + largest sum of tensors alive at one time, without the runtime's own memory. */
  memoryBytes: byteCount,
  /** Runtime options of the stage; absent = the resource's own. */
  options: RuntimeOptions.optional(),
})

/** The tensors of boundary `boundary` cross from → to; `ms` is round trip + cost per message + wire bytes / bandwidth. */
export const Transfer = z.object({
  from: ResourceName,
  to: ResourceName,
  boundary: z.number().int().nonnegative(),
  /** Size of the tensors before encoding. */
  bytes: byteCount,
  /** Encoded by `from`, decoded by `to`. */
  codec: CodecName.default('none'),
  /** Bytes sent: `bytes` times the codec's ratio. */
  wireBytes: byteCount,
  encodeMs: ms,
  decodeMs: ms,
  ms,
  /** The answer on the same connection, never encoded: bytes / return bandwidth. */
  returnBytes: byteCount,
  returnMs: ms,
})
export type Transfer = z.infer<typeof Transfer>

const Interval = z.object({ lowMs: ms, highMs: ms })
const bounds = z.object({ low: z.number().nonnegative(), high: z.number().nonnegative() })

/** Intervals of the other figures that depend on times, in their own units. Bytes are exact. */
export const Intervals = z.object({
  bottleneckMs: bounds,
  energyJ: bounds.optional(),
  price: bounds.optional(),
})
export type Intervals = z.infer<typeof Intervals>

/** Costs of a whole plan, in both views. */
export const PlanCosts = z.object({
  computeMs: ms,
  /**
   * The part of `computeMs` that belongs to no stage: the source runs no layer, and takes so long to read the request, pass
   * it on and write the answer. Absent if it runs layers, or if nothing is known of that.
   */
  relayMs: ms.optional(),
  /** All hops, with encoding, decoding and the answer. */
  transferMs: ms,
  predictedMs: ms,
  /** Holds the latency of one request in 95 % of cases; both ends are `predictedMs` if the uncertainty is unknown. */
  interval: Interval,
  /** Holds the median of many requests in 95 % of cases. */
  typicalInterval: Interval,
  /**
   * What moves the latency: computers, links (`device>edge`) and quotas (`quota of edge`), with half the width of the interval that each makes alone. Plans share
   * them: what moves both moves their difference less.
   */
  moves: z.array(z.object({ what: z.string(), requestMs: ms, typicalMs: ms })),
  intervals: Intervals,
  /**
   * Time of the slowest step: 1000 / bottleneckMs requests per second if steps overlap. A step is a resource's compute
   * with its decoding and encoding, or a transfer there and back.
   */
  bottleneckMs: ms,
  /** Wire bytes of all hops, request direction. */
  bytes: byteCount,
  /** Joules per request; absent without watts. */
  energyJ: z.number().nonnegative().optional(),
  /** Per request, in the currency of the prices; absent without prices. */
  price: z.number().nonnegative().optional(),
  /** True if all layers run on one resource. */
  native: z.boolean(),
  /** True if a slowdown or a link behind any of these numbers is emulated. */
  emulated: z.boolean(),
  /** Where the profiles and links behind these numbers come from, each once. Absent in answers of earlier versions. */
  sources: z.array(FigureSource).optional(),
  /** Reasons to doubt the numbers: a profile that failed its own check. */
  warnings: z.array(z.string()),
})

export const Plan = z.object({
  /** Holds everything needed to deploy it; see shared/contracts/plan-id.ts. */
  id: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  /** The resource that has the input; it opens the first link if the first stage runs elsewhere. */
  source: ResourceName,
  stages: z.array(Stage).min(1),
  transfers: z.array(Transfer),
  ...PlanCosts.shape,
  /** Bound of the accuracy lost to codecs: the sum over the hops, at most 1. */
  accuracyLoss: z.number().min(0).max(1),
})
export type Plan = z.infer<typeof Plan>

/** One plan as it would be now, with what is known of the machines. */
export const PricedPlan = Plan.extend({ paces: z.array(PaceOfPlan), notes: z.array(z.string()) })
export type PricedPlan = z.infer<typeof PricedPlan>

export const PlanAnswer = z.object({
  model: ModelId,
  shapesKey: ShapesKey,
  objective: z.enum([...OBJECTIVES, 'weighted']),
  /** Set if `plans` is the Pareto front of these objectives, sorted by the first. */
  pareto: z.array(z.enum(OBJECTIVES)).optional(),
  confidence: z.enum(['median', 'upper']),
  /** Best first; never empty: without a plan the answer is an `infeasible` error. */
  plans: z.array(Plan),
  /** The unsplit model on each resource, without regard to the constraints. */
  native: z.array(Plan),
  /** One sentence on the savings of the best plan and their place. */
  why: z.string(),
  /** Number of plans within the tiers, resources, cuts and codecs of the query, before limits on costs and layers. */
  considered: z.number().int().nonnegative(),
  /** Set if the front has more plans than are listed. */
  frontSize: z.number().int().positive().optional(),
  /** Set if the time limit was reached: no plan is better than the first by more than this share of its value. */
  gap: z.number().min(0).max(1).optional(),
  leftOut: z.array(z.object({ resource: ResourceName, reason: z.string() })),
  emulated: z.boolean(),
  /** How fast the machines are now: in every figure and interval of the plans. Of those that it is known of. */
  paces: z.array(PaceOfPlan),
  notes: z.array(z.string()),
})
export type PlanAnswer = z.infer<typeof PlanAnswer>

const DEPLOYMENT_STATES = ['loading', 'ready', 'failed'] as const
/** `native`: the resource runs the rest of the model itself, if it fits. `none`: the request fails, naming the hop. */
const FALLBACKS = ['native', 'none'] as const
/**
 * Route of the last hop's outputs. `chain`: back through every hop. `direct`: straight to the entry if it can be reached;
 * with three hops or more.
 */
const ANSWERS = ['chain', 'direct'] as const
/** `plan` is an id that a planner printed. */
export const DeploymentRequest = z.strictObject({
  plan: z.string(),
  name: Name.optional(),
  /** Resources that may replace one of their own tier. Default: none, as constraints may have excluded them. */
  alternates: z.array(ResourceName).optional(),
  fallback: z.enum(FALLBACKS).optional(),
  answer: z.enum(ANSWERS).optional(),
  /** `false`: it becomes ready without its outputs having been compared with the whole model's. Default true. */
  verify: z.boolean().optional(),
  /**
   * Takes any shape within these ranges: `{"ids": ["1", "8..512"]}`. Inputs that are not named follow by their symbols. The
   * plan's figures stay those of the shapes that it was made for. Default: only the shapes of the plan.
   */
  shapes: ShapeRanges.optional(),
})
export type DeploymentRequest = z.infer<typeof DeploymentRequest>

/** Ids hold a part for each stage. */
const MAX_PLAN_ID_CHARACTERS = 20_000
/** As many as a query may ask for. */
const MAX_HOPS = 100
const MAX_ALTERNATES = 100
const MAX_ERROR_CHARACTERS = 20_000

export const Deployment = z.object({
  /** Model name at the entry resource: /v2/models/<id>/infer. */
  id: Name,
  planId: z.string().max(MAX_PLAN_ID_CHARACTERS),
  model: ModelId,
  /** Of the structure whose layers the hops number: with `shapes` the model's open structure, else the plan's. */
  shapesKey: ShapesKey,
  /** The shapes that it takes, of all inputs; absent = only those of the plan. */
  shapes: ShapeRanges.optional(),
  /** The resource that clients call: the plan's source. */
  entry: z.object({ resource: ResourceName, url: ServiceUrl }),
  /** One hop per resource on the path; the source is first even if it runs nothing ([0,0)). */
  hops: z
    .array(
      z.object({
        resource: ResourceName,
        from: z.number().int().nonnegative(),
        to: z.number().int().nonnegative(),
        /** Encoding of this hop's input; absent = none. */
        codec: CodecName.optional(),
        /** Resources that run this hop if its own fails, tried in this order. */
        alternates: z.array(ResourceName).max(MAX_ALTERNATES).optional(),
        /**
         * The plan's figures for the rest of the route: ms from sending this hop's input to its answer, and the upper end of their
         * interval; bytes of the input before encoding. Absent at the first hop, and in records of versions that had none.
         */
        expected: z.object({ ms, highMs: ms, bytes: byteCount }).optional(),
      }),
    )
    .min(1)
    .max(MAX_HOPS),
  /** Behaviour of a resource if no resource takes the next hop; absent = native. */
  fallback: z.enum(FALLBACKS).optional(),
  /** Route of the last hop's outputs; absent = chain. */
  answer: z.enum(ANSWERS).optional(),
  predictedMs: ms,
  /** The plan's own: holds the median of many requests in 95 % of cases. Absent in records of versions that had none. */
  typicalInterval: Interval.optional(),
  emulated: z.boolean(),
  state: z.enum(DEPLOYMENT_STATES),
  error: z
    .string()
    .transform((text) => text.slice(0, MAX_ERROR_CHARACTERS))
    .optional(),
  /** What is being done while it is `loading`. */
  progress: BenchmarkProgress.optional(),
  /** `false`: it is not verified. Absent = it is. */
  verify: z.boolean().optional(),
  /** Absent while it is loading, if loading failed, and in records of versions that did not verify. */
  verification: Verification.optional(),
  /** The deployment that this one serves to verify: it is held by resources for that long, is not on record, and not counted. */
  verifies: Name.optional(),
  owner,
  createdAt: timestamp,
})
export type Deployment = z.infer<typeof Deployment>
