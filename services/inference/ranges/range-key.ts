/** The key of a layer range, and its name in memory and on disk. */
import { ModelId, ShapesKey } from '../../../shared/contracts/common.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'

/** Layers from..to-1 of a model with fixed input shapes. */
export interface RangeKey {
  model: ModelId
  shapesKey: ShapesKey
  from: number
  to: number
}

/** `<shapesKey>.<from>-<to>`: the name, without extension, of the range's files in the folder of its model. */
export function rangeName({ shapesKey, from, to }: Omit<RangeKey, 'model'>): string {
  return `${shapesKey}.${from}-${to}`
}

/** `<model>.<shapesKey>.<from>-<to>`: unique across models. */
export function keyText(key: RangeKey): string {
  return `${key.model}.${rangeName(key)}`
}

/** A key becomes part of paths and URLs, so it is checked first. @throws ScissionError badRequest or invalidRange. */
export function checkKey({ model, shapesKey, from, to }: RangeKey): void {
  if (!ModelId.safeParse(model).success || !ShapesKey.safeParse(shapesKey).success) {
    throw new ScissionError('badRequest', `"${model}" with shapes "${shapesKey}" does not name a model`)
  }
  if (!Number.isSafeInteger(from) || !Number.isSafeInteger(to) || from < 0 || to < from) {
    throw new ScissionError('invalidRange', `[${from},${to}) is not a layer range: 0 ≤ from ≤ to`, {
      from,
      to,
    })
  }
}
