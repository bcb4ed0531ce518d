/** The name of a layer range, in memory and on disk. */
import type { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'

/** Layers from..to-1 of a model whose input shapes are fixed. */
export interface RangeKey {
  model: ModelId
  shapesKey: ShapesKey
  from: number
  to: number
}

/** `<shapesKey>.<from>-<to>`: what the range's files in the model's folder are called, before their extension. */
export function rangeName({ shapesKey, from, to }: Omit<RangeKey, 'model'>): string {
  return `${shapesKey}.${from}-${to}`
}

export function keyText(key: RangeKey): string {
  return `${key.model}.${rangeName(key)}`
}
