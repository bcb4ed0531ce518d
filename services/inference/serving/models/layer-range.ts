/** Layer ranges of models: checked, and as stages are kept by them. */
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { RangeKey } from '../../ranges/stored-range.ts'
import type { LayerRange } from './target.ts'

/** @throws ScissionError invalidRange naming the number of layers. */
export function checkLayerRange({ from, to }: LayerRange, structure: Structure): void {
  const count = structure.layers.length
  if (from <= to && to <= count) return
  throw new ScissionError(
    'invalidRange',
    `layers ${from}-${to}: a range needs 0 <= from <= to <= ${count}, the number of layers of this model`,
    { layers: count },
  )
}

/** What a stage of these layers is kept under. @param range undefined means all layers. */
export function keyOf(model: Model, structure: Structure, range: LayerRange | undefined): RangeKey {
  const { from, to } = range ?? { from: 0, to: structure.layers.length }
  return { model: model.id, shapesKey: structure.shapesKey, from, to }
}
