/** Profiles (measured costs) and the benchmark jobs that measure them. */
import { z } from 'zod'
import {
  byteCount,
  factor,
  InputShapes,
  ModelId,
  ms,
  ResourceName,
  ShapesKey,
  signedMs,
  timestamp,
} from './common.ts'
import { owner } from './quota.ts'
import { CodecSpeed } from './calibration.ts'
import { ModelReference } from './model-names.ts'
import { ProfilePace } from './pace.ts'
import { BenchmarkProgress, JOB_STATES, JobAsker } from './job-progress.ts'
import { Machine, RuntimeOptions } from './resource.ts'

export { BenchmarkProgress }

/** Uncertainty of a predicted time: a part of it, plus a constant. */
export const Interval = z.object({
  confidence: z.number().min(0).max(1),
  /** Fraction of the predicted time, upwards; downwards as well if `below` is not given. */
  relative: z.number().nonnegative().max(1e9),
  below: z.number().min(0).max(1).optional(),
  fixedMs: ms,
})
export type Interval = z.infer<typeof Interval>

/** Error of the profile's predictions for cuts that were run but not used in the fit. */
export const PredictionError = z.object({
  /** Fractions of the measured time of both stages: median error of the sum; largest error of the sum or of a stage. */
  median: z.number().nonnegative(),
  maximum: z.number().nonnegative(),
  /**
   * False if the errors beyond the noise of their measurements exceed a threshold in the median or at worst: every plan
   * that uses the profile then has a warning.
   */
  ok: z.boolean(),
  thresholds: z.object({ median: z.number().positive(), maximum: z.number().positive() }),
  /** Both stages of the model split at boundary k, run one after the other. */
  cuts: z.array(
    z.object({
      k: z.number().int().nonnegative(),
      predictedMs: ms,
      measuredMs: ms,
      /** Half the width of the 95 % interval of the measurement, as a fraction: no error of the prediction. */
      noise: z.number().nonnegative().optional(),
      /** The first stage alone. Absent in older profiles, which were checked for the sum only. */
      prefix: z.object({ predictedMs: ms, measuredMs: ms }).optional(),
    }),
  ),
})
export type PredictionError = z.infer<typeof PredictionError>

/** A layer's time with its spread: 95 % of the profiled runs lie between the bounds, or all if they are few. */
export const LayerTime = z.object({ ms, lowMs: ms, highMs: ms })
export type LayerTime = z.infer<typeof LayerTime>

/**
 * Memory of a stage [i, j): baseBytes + weightFactor x the weights of its layers + the largest sum of tensors alive at
 * once in it. The factor and the base are fitted to the whole model.
 */
const ProfileMemory = z.object({
  /** Weights of all layers, and the largest sum of tensors alive at once: both from the structure. */
  weightBytes: byteCount,
  activationBytes: byteCount,
  /** Resident memory of the process before it had a session. */
  baseBytes: byteCount,
  /** Growth by the session and its runs: the largest seen, session creation included. */
  peakBytes: byteCount,
  /** Growth that remained after the runs. */
  residentBytes: byteCount,
})

/**
 * The measured cost of a model on a resource under given runtime options.
 * All times are the machine's own; multiply by `slowdown` for those of the (possibly emulated) resource.
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
  slowdown: z.number().min(1).max(1e9),
  emulated: z.boolean(),
  /** Imported figures were not measured by this system. Absent in older profiles: measured. */
  source: z.enum(['measured', 'imported']).optional(),
  /** The method of measurement in one line, shown with the numbers. */
  method: z.string(),
  measuredAt: timestamp,
  /** SHA-256 of the model's samples with which it was measured; absent if all inputs were made up. */
  samples: z.string().optional(),
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
   * Length N+1: extra cost of a stage that begins or ends at boundary k (copies, changes of layout, lost fusion), 0 at
   * the model's own ends. May be negative: two smaller sessions can be faster than one.
   */
  enterMs: z.array(signedMs).optional(),
  exitMs: z.array(signedMs).optional(),
  /** A stage of predicted x ms lies within x ± (relative·x + fixedMs), as far as the profile alone can say. */
  interval: Interval.optional(),
  predictionError: PredictionError.optional(),
  /** Relates the figures to the pace of the machine (contracts/pace.ts). Absent: measured without it, or imported. */
  pace: ProfilePace.optional(),
  /** Cuts that were run and used in the fit. */
  anchors: z.array(z.object({ k: z.number().int().nonnegative(), ms, prefixMs: ms })).optional(),
  /**
   * Conditions of the figures: one request at a time, with a pause between two runs (longer if a slower machine is
   * emulated, which waits after each). `coldFactor` is the time of such a run over that of a run right after another:
   * divide by it for a resource that is never idle. Measured for small models only.
   */
  regime: z.object({ name: z.literal('one-at-a-time'), pauseMs: ms, coldFactor: factor }).optional(),
  sessionCreateMs: ms,
  peakRssBytes: byteCount,
  memory: ProfileMemory.optional(),
  /** The machine's speed at encoding and decoding tensors. */
  codecs: z.array(CodecSpeed).optional(),
  /** Cost of making the profile, process start and session creation included: in ms, and in runs of the whole model. */
  cost: z.object({ totalMs: ms, inferences: z.number().nonnegative() }).optional(),
  /** Other load on the machine during the measurement. */
  load: z.object({
    loadAverage1: z.number().nonnegative(),
    requestsServed: z.number().int().nonnegative(),
    /** CPU time of other processes per second of the measurement: 1 = one core kept busy. Linux only. */
    otherCores: z.number().nonnegative().optional(),
  }),
})
export type Profile = z.infer<typeof Profile>
/** Its lists with one element or more for each layer. */
export const PROFILE_LISTS = { layerMs: ms, layers: LayerTime, enterMs: signedMs, exitMs: signedMs }
const numbers = z.array(z.custom<number>())
/** The fields of these lists, with anything in them. */
export const ANY_PROFILE_LISTS = {
  layerMs: numbers,
  layers: z.array(z.custom<LayerTime>()).optional(),
  enterMs: numbers.optional(),
  exitMs: numbers.optional(),
}

/**
 * Comparison of a profile with serving: the times of stages that ran, divided by the profile's predictions. Stored
 * beside the profile, never mixed into it.
 */
export const Served = z.object({
  /** Id of the profile. */
  id: z.string(),
  /** Running median of measured / predicted compute time (both the machine's own speed): 1.1 = 10 % slower. */
  scale: factor,
  /** Median absolute deviation of the same ratios. */
  spread: z.number().nonnegative().max(1e9),
  /** Runs seen so far. */
  samples: z.number().int().positive(),
  updatedAt: timestamp,
})
export type Served = z.infer<typeof Served>

/** A profile in API answers. */
export const ProfileView = Profile.extend({ served: Served.omit({ id: true }).optional() })
export type ProfileView = z.infer<typeof ProfileView>

/** Options set by a request, without defaults: the missing ones are the resource's own. */
const ChosenOptions = z.strictObject({
  threads: RuntimeOptions.shape.threads.removeDefault().optional(),
  optimisation: RuntimeOptions.shape.optimisation.removeDefault().optional(),
})

const DEFAULT_MAX_AGE_MS = 3600 * 1000

export const BenchmarkRequest = z.strictObject({
  model: ModelReference,
  /** Default: every resource alive. */
  resources: z.array(ResourceName).min(1).optional(),
  inputShapes: InputShapes.optional(),
  /** Number of unprofiled runs that set the scale, and of profiled ones. Default: as many as fit into about 20 runs' time. */
  runs: z.number().int().min(3).max(10_000).optional(),
  options: ChosenOptions.optional(),
  /**
   * A profile of the same model, shapes, resource, options, machine and slowdown that is younger than this is reused:
   * its part is completed at once and marked. 0 always measures.
   * @defaultValue one hour: asking again after a restart or for one more resource costs nothing, and yesterday's
   *   machine is not taken for today's.
   */
  maxAgeMs: z.number().nonnegative().default(DEFAULT_MAX_AGE_MS),
  /** Measures in any case. */
  force: z.boolean().default(false),
})
export type BenchmarkRequest = z.infer<typeof BenchmarkRequest>

/** Data of a child job: ids only. */
export const BenchmarkJobData = z.object({
  benchmark: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  resource: ResourceName,
  runs: z.number().int().optional(),
  options: ChosenOptions,
  asker: JobAsker.optional(),
})
export type BenchmarkJobData = z.infer<typeof BenchmarkJobData>

export const BenchmarkPart = z.object({
  resource: ResourceName,
  state: z.enum(JOB_STATES),
  progress: BenchmarkProgress,
  error: z.string().optional(),
  /** Id of the stored profile, if completed. */
  profile: z.string().optional(),
  /** When the profile was measured, for a part that reused one. */
  reusedFrom: timestamp.optional(),
})
export type BenchmarkPart = z.infer<typeof BenchmarkPart>

/** `state` is completed if every part is; failed if all parts have ended and at least one did not complete. */
export const Benchmark = z.object({
  id: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  state: z.enum(JOB_STATES),
  progress: BenchmarkProgress,
  parts: z.array(BenchmarkPart),
  /** Remarks, for example that a number or Redis is emulated. */
  notes: z.array(z.string()),
  owner,
  createdAt: timestamp,
})
export type Benchmark = z.infer<typeof Benchmark>
