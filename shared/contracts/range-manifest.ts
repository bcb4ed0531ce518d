/** Describes a layer range of a model and the bytes that a resource fetches to run it. */
import { z } from 'zod'
import { byteCount, ModelId, ShapesKey, TensorSpec } from './common.ts'

/** Weights are fetched and verified in chunks of this size of the original file; the last one is shorter. */
export const CHUNK_BYTES = 1024 * 1024

export const RangeManifest = z.object({
  model: ModelId,
  shapesKey: ShapesKey,
  from: z.number().int().nonnegative(),
  to: z.number().int().nonnegative(),
  /** Tensors of boundary `from`, in its order. */
  inputs: z.array(TensorSpec),
  /** Tensors of boundary `to`, in its order. */
  outputs: z.array(TensorSpec),
  /** Outputs that are also inputs: the executor passes them through, they are not in the sub-model. */
  passThrough: z.array(z.string()),
  /** Bytes of its tensors at one time with the sizes that it was analysed with; only if it takes any size. */
  peakBytes: byteCount.optional(),
  /** The sub-model; null if the range has no layer. */
  onnx: z.object({ bytes: byteCount, sha256: z.string() }).nullable(),
  /** Files of the original that the sub-model's weights refer to, with the chunks that it needs. */
  weights: z.array(
    z.object({
      path: z.string(),
      /** Size of the whole file. */
      bytes: byteCount,
      chunkBytes: z.number().int().positive(),
      chunks: z.array(z.object({ index: z.number().int().nonnegative(), sha256: z.string() })),
    }),
  ),
})
export type RangeManifest = z.infer<typeof RangeManifest>
