/** Measured costs and the jobs that measure them. */
import { z } from 'zod'
import { byteCount, InputShapes, ModelId, ms, Name, ResourceName, ShapesKey, timestamp } from './common.ts'
import { Machine, RuntimeOptions } from './resource.ts'

/**
 * The measured cost of a model on a resource under given runtime options.
 * All times are what the machine itself took; multiply by `slowdown` for what the (possibly emulated) resource takes.
 */
export const Profile = z.object({
  /** `<model>.<shapesKey>.<resource>.<optimisation>-<threads>` */
  id: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  resource: ResourceName,
  options: RuntimeOptions,
  machine: Machine,
  slowdown: z.number().min(1),
  emulated: z.boolean(),
  /** How the numbers came about, in one line, shown wherever they are. */
  method: z.string(),
  measuredAt: timestamp,
  whole: z.object({
    /** The scale: median CPU time of a run when a session has one thread, else median wall time. */
    medianMs: ms,
    /** Wall time of every run. */
    samplesMs: z.array(ms),
    /** Median CPU time. */
    cpuMs: ms,
  }),
  /** One figure per layer, summing to `whole.medianMs`. */
  layerMs: z.array(ms),
  sessionCreateMs: ms,
  peakRssBytes: byteCount,
  /** What else ran on the machine meanwhile. */
  load: z.object({ loadAverage1: z.number().nonnegative(), requestsServed: z.number().int().nonnegative() }),
})
export type Profile = z.infer<typeof Profile>

/** Options that a request sets; those it leaves out are the resource's own, so there are no defaults here. */
const ChosenOptions = z.object({
  threads: RuntimeOptions.shape.threads.removeDefault().optional(),
  optimisation: RuntimeOptions.shape.optimisation.removeDefault().optional(),
})

export const BenchmarkRequest = z.strictObject({
  model: z.union([ModelId, Name]),
  /** Default: every resource alive. */
  resources: z.array(ResourceName).min(1).optional(),
  inputShapes: InputShapes.optional(),
  /** Unprofiled runs that set the scale; as many again are profiled, and a third as many warm up. */
  runs: z.number().int().min(3).max(10_000).default(20),
  options: ChosenOptions.optional(),
})
export type BenchmarkRequest = z.infer<typeof BenchmarkRequest>

/** What a child job carries: ids only. */
export const BenchmarkJobData = z.object({
  benchmark: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  resource: ResourceName,
  runs: z.number().int(),
  options: ChosenOptions,
})
export type BenchmarkJobData = z.infer<typeof BenchmarkJobData>

export const BenchmarkProgress = z.object({
  /** 0..1 */
  fraction: z.number().min(0).max(1),
  step: z.string(),
  remainingMs: ms.optional(),
})
export type BenchmarkProgress = z.infer<typeof BenchmarkProgress>

export const JOB_STATES = ['waiting', 'active', 'completed', 'failed', 'cancelled'] as const
export const BenchmarkPart = z.object({
  resource: ResourceName,
  state: z.enum(JOB_STATES),
  progress: BenchmarkProgress,
  error: z.string().optional(),
  /** Id of the stored profile, once completed. */
  profile: z.string().optional(),
})
export type BenchmarkPart = z.infer<typeof BenchmarkPart>

/** `state` is completed when every part is; failed when all parts ended and at least one did not complete. */
export const Benchmark = z.object({
  id: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  state: z.enum(JOB_STATES),
  progress: BenchmarkProgress,
  parts: z.array(BenchmarkPart),
  /** Said when a number of this benchmark is emulated, or Redis is. */
  notes: z.array(z.string()),
  createdAt: timestamp,
})
export type Benchmark = z.infer<typeof Benchmark>
