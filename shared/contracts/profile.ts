/** Measured costs and the jobs that measure them. */
import { z } from 'zod'
import { byteCount, InputShapes, ModelId, ms, Name, ResourceName, ShapesKey, timestamp } from './common.ts'
import { CodecSpeed } from './calibration.ts'
import { BenchmarkProgress, JOB_STATES } from './job-progress.ts'
import { Machine, RuntimeOptions } from './resource.ts'

export { BenchmarkProgress, JOB_STATES }

/** How much of a figure's own size, and how much beside it, a measurement may miss it by. */
export const Interval = z.object({
  confidence: z.number().min(0).max(1),
  /** Fraction of the predicted time. */
  relative: z.number().nonnegative(),
  fixedMs: ms,
})
export type Interval = z.infer<typeof Interval>

/** What the profile said, before it was run, about cuts that no figure of it was fitted to. */
export const PredictionError = z.object({
  /** As fractions of what both stages took: how far off their sum was, and, at most, the sum or a stage of it. */
  median: z.number().nonnegative(),
  maximum: z.number().nonnegative(),
  /** False when the median or the maximum is past its threshold: every plan built on the profile says so. */
  ok: z.boolean(),
  thresholds: z.object({ median: z.number().positive(), maximum: z.number().positive() }),
  /** Both stages of the model split at boundary k, run one after the other. */
  cuts: z.array(
    z.object({
      k: z.number().int().nonnegative(),
      predictedMs: ms,
      measuredMs: ms,
      /** Of the first stage alone. Absent in older profiles, which were checked for the sum only. */
      prefix: z.object({ predictedMs: ms, measuredMs: ms }).optional(),
    }),
  ),
})
export type PredictionError = z.infer<typeof PredictionError>

/** A layer's time with its spread: 95 % of the profiled runs lie between the bounds, or all where they are few. */
export const LayerTime = z.object({ ms, lowMs: ms, highMs: ms })
export type LayerTime = z.infer<typeof LayerTime>

/**
 * Memory of a stage [i, j): baseBytes + weightFactor x the weights of its layers + the largest sum of tensors alive at
 * once in it (services/inference/jobs/profiler/memory-and-load.ts). The factor and the base are fitted to the whole model.
 */
export const ProfileMemory = z.object({
  /** Of all layers, and the largest sum of tensors alive at once: from the structure. */
  weightBytes: byteCount,
  activationBytes: byteCount,
  /** What the process held before it had a session. */
  baseBytes: byteCount,
  /** Growth by the session and its runs: the largest seen, session creation included. */
  peakBytes: byteCount,
  /** Growth that stayed once it ran. */
  residentBytes: byteCount,
})
export type ProfileMemory = z.infer<typeof ProfileMemory>

/**
 * The measured cost of a model on a resource under given runtime options.
 * All times are what the machine itself took; multiply by `slowdown` for what the (possibly emulated) resource takes.
 *
 *   stage [i, j) = sum of layerMs[i..j) + enterMs[i] + exitMs[j]
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
  /** Imported figures were not measured by this system. Absent in older profiles: measured. */
  source: z.enum(['measured', 'imported']).optional(),
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
  /** One entry per layer: `layerMs` with its spread. */
  layers: z.array(LayerTime).optional(),
  /**
   * Length N+1: what a stage costs more because it begins or ends at boundary k (copies, changes of layout, lost
   * fusion), 0 at the model's own ends. May be negative: two smaller sessions can be faster than one.
   */
  enterMs: z.array(z.number()).optional(),
  exitMs: z.array(z.number()).optional(),
  /** A stage of predicted x ms lies within x ± (relative·x + fixedMs). */
  interval: Interval.optional(),
  predictionError: PredictionError.optional(),
  /** Cuts that were run and that the figures were fitted to. */
  anchors: z.array(z.object({ k: z.number().int().nonnegative(), ms, prefixMs: ms })).optional(),
  /**
   * What the figures are for: one request at a time, a pause between two runs (longer where a slower machine is
   * emulated, which waits after each). `coldFactor` is such a run over one
   * right after another: divide by it for a resource that is never idle. Measured for small models only.
   */
  regime: z
    .object({ name: z.literal('one-at-a-time'), pauseMs: ms, coldFactor: z.number().positive() })
    .optional(),
  sessionCreateMs: ms,
  peakRssBytes: byteCount,
  memory: ProfileMemory.optional(),
  /** How fast this machine packs and unpacks tensors. */
  codecs: z.array(CodecSpeed).optional(),
  /** What the profile itself took, process start and session creation included; in runs of the whole model, too. */
  cost: z.object({ totalMs: ms, inferences: z.number().nonnegative() }).optional(),
  /** What else ran on the machine meanwhile. */
  load: z.object({
    loadAverage1: z.number().nonnegative(),
    requestsServed: z.number().int().nonnegative(),
    /** CPU time of other processes per second of the measurement: 1 = one core kept busy. Linux only. */
    otherCores: z.number().nonnegative().optional(),
  }),
})
export type Profile = z.infer<typeof Profile>

/**
 * What serving says of a profile: the times of stages that really ran, held against the profile's prediction. Kept
 * beside the profile, never mixed into it.
 */
export const Served = z.object({
  /** Id of the profile. */
  id: z.string(),
  /** Running median of measured / predicted compute time (both the machine's own speed): 1.1 = 10 % slower. */
  scale: z.number().positive(),
  /** Median absolute deviation of the same ratios. */
  spread: z.number().nonnegative(),
  /** Runs seen so far. */
  samples: z.number().int().positive(),
  updatedAt: timestamp,
})
export type Served = z.infer<typeof Served>

/** A profile as the API shows it. */
export const ProfileView = Profile.extend({ served: Served.omit({ id: true }).optional() })
export type ProfileView = z.infer<typeof ProfileView>

/** Options that a request sets; those it leaves out are the resource's own, so there are no defaults here. */
const ChosenOptions = z.strictObject({
  threads: RuntimeOptions.shape.threads.removeDefault().optional(),
  optimisation: RuntimeOptions.shape.optimisation.removeDefault().optional(),
})

export const DEFAULT_MAX_AGE_MS = 3600 * 1000

export const BenchmarkRequest = z.strictObject({
  model: z.union([ModelId, Name]),
  /** Default: every resource alive. */
  resources: z.array(ResourceName).min(1).optional(),
  inputShapes: InputShapes.optional(),
  /** Unprofiled runs that set the scale, and as many profiled ones. Default: what fits into about 20 runs' time. */
  runs: z.number().int().min(3).max(10_000).optional(),
  options: ChosenOptions.optional(),
  /**
   * A profile of the same model, shapes, resource, options, machine and slowdown that is younger than this is reused:
   * its part is completed at once and says so. 0 measures always.
   * @defaultValue one hour: asking again after a restart or for one more resource costs nothing, and yesterday's
   *   machine is not taken for today's.
   */
  maxAgeMs: z.number().nonnegative().default(DEFAULT_MAX_AGE_MS),
  /** Measures whatever there is. */
  force: z.boolean().default(false),
})
export type BenchmarkRequest = z.infer<typeof BenchmarkRequest>

/** What a child job carries: ids only. */
export const BenchmarkJobData = z.object({
  benchmark: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  resource: ResourceName,
  runs: z.number().int().optional(),
  options: ChosenOptions,
})
export type BenchmarkJobData = z.infer<typeof BenchmarkJobData>

export const BenchmarkPart = z.object({
  resource: ResourceName,
  state: z.enum(JOB_STATES),
  progress: BenchmarkProgress,
  error: z.string().optional(),
  /** Id of the stored profile, once completed. */
  profile: z.string().optional(),
  /** When the profile was measured, for a part that reused one. */
  reusedFrom: timestamp.optional(),
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
