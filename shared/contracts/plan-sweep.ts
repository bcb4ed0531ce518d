/** Maps of the best plan over a grid of conditions, and the change of one condition at which another plan becomes the best. */
import { z } from 'zod'
import { NETWORK_NAMES } from './network-presets.ts'
import { mbps, ms, ResourceName } from './common.ts'
import { PlanAnswer, PlanQuery } from './plan.ts'
import { Served } from './profile.ts'

const LinkEnds = z.strictObject({ from: ResourceName, to: ResourceName }).meta({ id: 'LinkEnds' })
/** The links that an axis sets. Default: all that leave the first tier, as with network presets. */
const links = z.array(LinkEnds).min(1).max(1000).optional()
const MAX_AXIS_VALUES = 10_000
/** Most cells of one sweep. */
const MAX_SWEEP_CELLS = 100_000

/** One condition and its values, in the order of the map. */
export const SweepAxis = z.discriminatedUnion('vary', [
  /** Both directions of the links. */
  z.strictObject({
    vary: z.literal('bandwidthMbps'),
    links,
    values: z.array(mbps).min(1).max(MAX_AXIS_VALUES),
  }),
  z.strictObject({ vary: z.literal('rttMs'), links, values: z.array(ms).min(1).max(MAX_AXIS_VALUES) }),
  z.strictObject({
    vary: z.literal('slowdown'),
    resources: z.array(ResourceName).min(1).max(1000),
    values: z.array(z.number().positive().max(1e6)).min(1).max(MAX_AXIS_VALUES),
  }),
  z.strictObject({ vary: z.literal('network'), values: z.array(z.enum(NETWORK_NAMES)).min(1).max(100) }),
])
export type SweepAxis = z.infer<typeof SweepAxis>

export const SweepGrid = z
  .array(SweepAxis)
  .min(1)
  .max(3)
  .refine((axes) => axes.reduce((cells, { values }) => cells * values.length, 1) <= MAX_SWEEP_CELLS, {
    error: `a sweep has at most ${MAX_SWEEP_CELLS} cells`,
  })
export type SweepGrid = z.infer<typeof SweepGrid>

export const SweepRequest = z.strictObject({
  /** `top` is ignored: a cell holds the best plan. */
  query: PlanQuery,
  axes: SweepGrid,
})
export type SweepRequest = z.infer<typeof SweepRequest>

const SweepPlan = z.object({
  id: z.string(),
  stages: z.array(z.object({ resource: ResourceName, from: z.number().int(), to: z.number().int() })),
  native: z.boolean(),
  /** Number of cells in which it is the best. */
  cells: z.number().int().positive(),
})

/** The line on which two plans that are best in neighbouring cells cost the same. */
export const SweepBoundary = z.object({
  /** Indices into `plans`; -1 stands for "no plan". */
  plans: z.tuple([z.number().int(), z.number().int()]),
  /**
   * One point between each pair of neighbouring cells, a number per axis (the index of the value for `network`).
   * Between a plan and no plan it is the point half way.
   */
  points: z.array(z.array(z.number())),
})
export type SweepBoundary = z.infer<typeof SweepBoundary>

export const Sweep = z.object({
  /** Best plans, in the order of their first cell. */
  plans: z.array(SweepPlan),
  /** Per cell the index of its best plan, -1 if no plan satisfies the constraints; the last axis changes fastest. */
  cells: z.array(z.number().int().min(-1)),
  /** Per cell the value of the objective (ms for latency; ms of the slowest step for throughput). */
  values: z.array(z.number().nullable()),
  boundaries: z.array(SweepBoundary),
  /** How many conditions were solved from scratch; all cells follow from them (shared/planning/sweep). */
  solved: z.number().int().nonnegative(),
})
export type Sweep = z.infer<typeof Sweep>

const { model, shapesKey, objective, emulated, notes } = PlanAnswer.shape
export const SweepAnswer = Sweep.extend({ model, shapesKey, objective, axes: SweepGrid, emulated, notes })
export type SweepAnswer = z.infer<typeof SweepAnswer>

/** The value of one condition, with all others unchanged, from which on the best plan is no longer the best. */
export const SensitivityChange = z.object({
  /** `bandwidth` in Mbps towards the higher tier (the way back changes by the same factor), `rtt` in ms. */
  what: z.enum(['bandwidth', 'rtt', 'slowdown']),
  /** The link, for bandwidth and rtt. */
  link: z.object({ from: ResourceName, to: ResourceName }).optional(),
  /** For slowdown. */
  resource: ResourceName.optional(),
  direction: z.enum(['lower', 'higher']),
  /** The present value. */
  from: z.number().nonnegative(),
  /** The value at which both plans are equally good. */
  at: z.number().nonnegative(),
  /** The best plan beyond it; null if no plan satisfies the constraints any more. */
  planId: z.string().nullable(),
  resources: z.array(ResourceName),
  /** False if `at` was found by halving an interval, because the costs or constraints are not linear in it. */
  exact: z.boolean(),
})
export type SensitivityChange = z.infer<typeof SensitivityChange>

/** A planner's answer with background: comparisons of serving with the profiles, and sensitivity to conditions. */
export const ExplainedAnswer = PlanAnswer.extend({
  /** Comparisons of serving with the profiles used. For information, not used in planning. */
  served: z.array(Served.extend({ resource: ResourceName })),
  /** With `sensitivity=true`: one condition changes, all others stay. */
  sensitivity: z.array(SensitivityChange).optional(),
})
export type ExplainedAnswer = z.infer<typeof ExplainedAnswer>
