/** Layer ranges of models: as clients write them, checked, and as stages are kept by them. */
import type { Model, Structure } from '../../../../shared/contracts/model.ts'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { RangeKey } from '../../ranges/stored-range.ts'
import type { LayerRange } from './target.ts'

/** Parses a layer range such as `3-17`. @throws ScissionError invalidRange. */
export function parseLayerRange(text: string): LayerRange {
  const digits = /^(\d{1,9})-(\d{1,9})$/.exec(text)
  if (!digits)
    throw new ScissionError('invalidRange', `"${text}" is not a layer range; write from-to, e.g. 0-12`)
  return { from: Number(digits[1]), to: Number(digits[2]) }
}

/**
 * Splits the name of a model, which may end in `:from-to`.
 * @param layers the range where the address has it beside the name. @throws ScissionError invalidRange.
 */
export function splitName(
  name: string,
  layers?: LayerRange,
): { base: string; range: LayerRange | undefined } {
  const [base = '', written] = name.split(':')
  return { base, range: layers ?? (written === undefined ? undefined : parseLayerRange(written)) }
}

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
