/** Decides where a stage runs. */
import type { RangeManifest } from '../../../../shared/contracts/range-manifest.ts'
import type { Place } from './executor.ts'
import type { Tried } from './trial-load.ts'

/** Nodes, and bytes of weights, whose session is created in a moment in which others can wait. */
const MAX_SHARED_NODES = 1000
const MAX_SHARED_BYTES = 64 * 1024 * 1024

/** @param tried undefined for a range without layers. */
export function placeOf(
  { onnx, weights }: Pick<RangeManifest, 'onnx' | 'weights'>,
  tried: Tried | undefined,
): Place {
  if (!tried) return 'shared threads'
  if (tried.runaway !== undefined) return 'processes'
  const fetched = weights.reduce(
    (sum, { chunkBytes, chunks }) => sum + chunkBytes * chunks.length,
    onnx?.bytes ?? 0,
  )
  const isLarge = tried.nodes > MAX_SHARED_NODES || fetched > MAX_SHARED_BYTES
  return isLarge ? 'threads of its own' : 'shared threads'
}
