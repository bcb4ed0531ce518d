/** Tensor codecs: their names, a machine's speed at them, and calibrations of their loss of accuracy. */
import { z } from 'zod'
import { byteCount, InputShapes, ModelId, ms, ResourceName, ShapesKey, timestamp } from './common.ts'
import { BenchmarkProgress, JOB_STATES, JobAsker } from './job-progress.ts'
import { ModelReference } from './model-names.ts'
import { owner } from './quota.ts'

/**
 * `[lossy part][-entropy part]`: `fp16` halves, `q<bits>` is linear quantisation with one scale for the tensor, with
 * `c` one per channel (axis 1); `-zstd` compresses the result. `none` and `zstd` lose nothing.
 */
export const CodecName = z
  .string()
  .regex(
    /^(none|zstd|(fp16|q[2468]c?)(-zstd)?)$/,
    'a codec is none, zstd, fp16, q8, q6, q4 or q2 (with c: per channel), the last five also with -zstd',
  )
export type CodecName = z.infer<typeof CodecName>

/** A machine's own speed without its slowdown: CPU ms per 10^6 bytes of fp32 input. */
export const CodecSpeed = z.object({
  codec: CodecName,
  encodeMsPerMb: ms,
  decodeMsPerMb: ms,
})
export type CodecSpeed = z.infer<typeof CodecSpeed>

const share = z.number().min(0).max(1)

/** Size and accuracy of one codec at one single-tensor boundary. */
export const CalibrationCell = z.object({
  boundary: z.number().int().nonnegative(),
  codec: CodecName,
  /** Bytes on the wire / bytes of the tensor, over all samples, after the entropy part. */
  bytesRatio: z.number().nonnegative(),
  /** Interval that holds the ratio of one more tensor in 95 % of cases, from the spread over the samples; absent with one sample. */
  bytesRatioBounds: z.object({ low: z.number().nonnegative(), high: z.number().nonnegative() }).optional(),
  /** Share of samples whose largest output element has the same index as in the uncompressed model. */
  top1Agreement: share,
  /** Exact 95 % interval (Clopper-Pearson) of `top1Agreement`. */
  top1Bounds: z.object({ low: share, high: share }),
  /** Share of samples whose largest output element has the index of the label; with labels only. */
  accuracy: share.optional(),
  accuracyBounds: z.object({ low: share, high: share }).optional(),
  /** Mean over the samples of ‖output − uncompressed output‖ / ‖uncompressed output‖ (Euclid). */
  relativeError: z.number().nonnegative(),
  /** 95 % upper bound of the same mean; the mean itself with one sample. */
  relativeErrorBound: z.number().nonnegative(),
  /**
   * Upper 95 % bound of the accuracy lost against the uncompressed model: 0 for lossless codecs, 1 (no bound) for others
   * on made-up samples. Without labels every changed answer counts as lost.
   */
  lossBound: share,
  /** The loss as observed, never below 0. */
  lossMedian: share,
  samples: z.number().int().positive(),
})
export type CalibrationCell = z.infer<typeof CalibrationCell>

const SAMPLE_SOURCES = ['given', 'made-up'] as const

/** A calibration: waiting, active or ended. `cells` is filled if `state` is completed. */
export const Calibration = z.object({
  id: z.string(),
  model: ModelId,
  shapesKey: ShapesKey,
  /** The resource that runs it. Its figures for bytes and accuracy hold on every resource. */
  resource: ResourceName,
  codecs: z.array(CodecName).min(1),
  /** Single-tensor cuts. */
  boundaries: z.array(z.number().int().nonnegative()),
  samples: z.number().int().positive(),
  /** `made-up`: seeded noise, which has meaning for bytes and errors and none for accuracy. */
  sampleSource: z.enum(SAMPLE_SOURCES),
  /** Of the samples that were given. Absent in records of versions that did not say. */
  sampleBytes: byteCount.optional(),
  labelled: z.boolean(),
  /** Accuracy of the uncompressed model on the samples; with labels only. */
  baseAccuracy: share.optional(),
  state: z.enum(JOB_STATES),
  progress: BenchmarkProgress,
  error: z.string().optional(),
  cells: z.array(CalibrationCell),
  /** Remarks that belong to the numbers. */
  notes: z.array(z.string()),
  owner,
  createdAt: timestamp,
  endedAt: timestamp.optional(),
})
export type Calibration = z.infer<typeof Calibration>

/** The JSON part of `POST /v1/calibrations`. */
export const CalibrationRequest = z.strictObject({
  model: ModelReference,
  inputShapes: InputShapes.optional(),
  /** Default: the first resource alive. */
  resource: ResourceName.optional(),
  /** Default: every lossy codec, with and without the entropy part, and the entropy part alone. */
  codecs: z.array(CodecName).min(1).max(40).optional(),
  /** Default: every clean single-tensor cut. */
  boundaries: z.array(z.number().int().nonnegative()).min(1).max(1000).optional(),
  /** Seeded samples instead of given ones: marked in every answer, without a statement on accuracy. */
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
/** Data of the job. The samples stay with the benchmark service, which serves them. */
export const CalibrationJobData = z.object({ calibration: z.string(), asker: JobAsker.optional() })
export type CalibrationJobData = z.infer<typeof CalibrationJobData>

/** Description of a calibration's samples; the resource fetches their bytes separately. */
export const CalibrationSamples = z.object({
  calibration: z.string(),
  kind: z.enum(SAMPLE_SOURCES),
  count: z.number().int().positive(),
  /** Seed of made-up samples. */
  seed: z.number().int().nonnegative().optional(),
  labels: z.array(z.number().int().nonnegative()).optional(),
  /** Size of all given samples. */
  bytes: byteCount,
})
export type CalibrationSamples = z.infer<typeof CalibrationSamples>
