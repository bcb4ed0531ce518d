/** Tensor codecs: their names, how fast a machine is at them, and what they cost in accuracy. */
import { z } from 'zod'
import {
  byteCount,
  InputShapes,
  ModelId,
  ms,
  Name,
  pageOf,
  ResourceName,
  ShapesKey,
  timestamp,
} from './common.ts'
import { BenchmarkProgress, JOB_STATES } from './job-progress.ts'

/**
 * `[lossy part][-entropy part]`: `fp16` halves, `q<bits>` is linear quantisation with one scale for the tensor, with
 * `c` one per channel (axis 1); `-zstd` and `-lz4` pack what remains. `none`, `zstd` and `lz4` lose nothing.
 */
export const CodecName = z
  .string()
  .regex(
    /^(none|zstd|lz4|(fp16|q[2468]c?)(-zstd|-lz4)?)$/,
    'a codec is none, zstd, lz4, fp16, q8, q6, q4 or q2 (with c: per channel), the last five also with -zstd or -lz4',
  )
export type CodecName = z.infer<typeof CodecName>

/** A machine's own speed, without its slowdown: ms of CPU per 10^6 bytes of fp32 input. */
export const CodecSpeed = z.object({
  codec: CodecName,
  encodeMsPerMb: ms,
  decodeMsPerMb: ms,
})
export type CodecSpeed = z.infer<typeof CodecSpeed>

const share = z.number().min(0).max(1)

/** What one codec does at one single-tensor boundary. */
export const CalibrationCell = z.object({
  boundary: z.number().int().nonnegative(),
  codec: CodecName,
  /** Bytes on the wire / bytes of the tensor, over all samples, after the entropy part. */
  bytesRatio: z.number().nonnegative(),
  /** Where the ratio of one more tensor is expected with 95 %, by the spread over the samples; absent with one. */
  bytesRatioBounds: z.object({ low: z.number().nonnegative(), high: z.number().nonnegative() }).optional(),
  /** Share of samples whose largest output element is where the uncompressed model has it. */
  top1Agreement: share,
  /** Exact 95 % interval (Clopper-Pearson) of `top1Agreement`. */
  top1Bounds: z.object({ low: share, high: share }),
  /** Share of samples whose largest output element is the label; with labels only. */
  accuracy: share.optional(),
  accuracyBounds: z.object({ low: share, high: share }).optional(),
  /** Mean over the samples of ‖output − uncompressed output‖ / ‖uncompressed output‖ (Euclid). */
  relativeError: z.number().nonnegative(),
  /** 95 % upper bound of the same mean; the mean itself with one sample. */
  relativeErrorBound: z.number().nonnegative(),
  /**
   * Upper 95 % bound of the accuracy lost against the uncompressed model: 0 for codecs that lose nothing, 1 (no bound)
   * for others on made-up samples. Without labels every changed answer counts as a lost one.
   */
  lossBound: share,
  /** The loss as observed, never below 0. */
  lossMedian: share,
  samples: z.number().int().positive(),
})
export type CalibrationCell = z.infer<typeof CalibrationCell>

export const SAMPLE_SOURCES = ['given', 'made-up'] as const

/** A calibration: asked for, under way, or done (`state` completed, then `cells` is filled). */
export const Calibration = z.object({
  id: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  /** Where it runs. What it says of bytes and accuracy holds on every resource. */
  resource: ResourceName,
  codecs: z.array(CodecName).min(1),
  /** Boundaries to look at: single-tensor cuts. */
  boundaries: z.array(z.number().int().nonnegative()),
  samples: z.number().int().positive(),
  /** `made-up`: seeded noise, which says something about bytes and errors and nothing about accuracy. */
  sampleSource: z.enum(SAMPLE_SOURCES),
  labelled: z.boolean(),
  /** Accuracy of the uncompressed model on the samples; with labels only. */
  baseAccuracy: share.optional(),
  state: z.enum(JOB_STATES),
  progress: BenchmarkProgress,
  error: z.string().optional(),
  cells: z.array(CalibrationCell),
  /** What a reader must know beside the numbers. */
  notes: z.array(z.string()),
  createdAt: timestamp,
  endedAt: timestamp.optional(),
})
export type Calibration = z.infer<typeof Calibration>
export const CalibrationPage = pageOf(Calibration)

/** The JSON part of `POST /v1/calibrations`. */
export const CalibrationRequest = z.strictObject({
  model: z.union([ModelId, Name]),
  inputShapes: InputShapes.optional(),
  /** Default: the first resource alive. */
  resource: ResourceName.optional(),
  /** Default: every lossy codec, with and without the entropy part, and the entropy part alone. */
  codecs: z.array(CodecName).min(1).max(40).optional(),
  /** Default: every clean single-tensor cut. */
  boundaries: z.array(z.number().int().nonnegative()).min(1).max(1000).optional(),
  /** Seeded samples instead of given ones: said in every answer, and no statement on accuracy. */
  madeUp: z
    .object({
      samples: z.number().int().min(1).max(1000).default(16),
      seed: z.number().int().nonnegative().default(1),
    })
    .optional(),
  /** One class index per sample. */
  labels: z.array(z.number().int().nonnegative()).min(1).max(100_000).optional(),
})
export type CalibrationRequest = z.infer<typeof CalibrationRequest>

/** The name of a calibration's job in the queue of its resource. */
export const CALIBRATION_JOB = 'calibrate'
/** What the job carries: the samples stay with the benchmark service, which hands them out. */
export const CalibrationJobData = z.object({ calibration: z.string() })
export type CalibrationJobData = z.infer<typeof CalibrationJobData>

/** What the resource is told of a calibration's samples beside their bytes, which it fetches. */
export const CalibrationSamples = z.object({
  calibration: z.string(),
  kind: z.enum(SAMPLE_SOURCES),
  count: z.number().int().positive(),
  /** Of made-up samples. */
  seed: z.number().int().nonnegative().optional(),
  labels: z.array(z.number().int().nonnegative()).optional(),
  /** Of the given ones together. */
  bytes: byteCount,
})
export type CalibrationSamples = z.infer<typeof CalibrationSamples>
