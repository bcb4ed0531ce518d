/** What a resource needs to know and fetch to run a layer range of a model. */
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
  /** Those of `outputs` that are also inputs: the executor hands them through, the sub-model does not know them. */
  passThrough: z.array(z.string()),
  /** The sub-model; null when the range runs nothing. */
  onnx: z.object({ bytes: byteCount, sha256: z.string() }).nullable(),
  /** The original's files that the sub-model's weights point into, with the chunks that hold the bytes it needs. */
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
