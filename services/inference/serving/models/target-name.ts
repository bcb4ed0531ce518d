/** Names under /v2/models: `name` of a model or a deployment, `name:from-to` of a layer range of it. */
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { LayerRange } from './target.ts'

export interface TargetName {
  /** Of the model or the deployment: `mobilenetv2`, `mobilenetv2@2`, an id. */
  base: string
  range: LayerRange | undefined
}

/**
 * @param layers the range that the rest of the address names.
 * @throws ScissionError invalidRange if the range is malformed, or there are two: which one is meant would be a guess.
 */
export function parseTargetName(name: string, layers?: LayerRange): TargetName {
  const [base = '', ...ranges] = name.split(':')
  const [written] = ranges
  if (ranges.length > 1 || (written !== undefined && layers))
    throw new ScissionError(
      'invalidRange',
      `"${name}"${layers ? ` with layers ${layers.from}-${layers.to}` : ''}: an address has one layer range; ` +
        `write ${base}:from-to, or ${base}/layers/from-to`,
    )
  return { base, range: layers ?? (written === undefined ? undefined : parseLayerRange(written)) }
}

/** Parses a layer range such as `3-17`. @throws ScissionError invalidRange. */
export function parseLayerRange(text: string): LayerRange {
  const digits = /^(\d{1,9})-(\d{1,9})$/.exec(text)
  if (!digits)
    throw new ScissionError('invalidRange', `"${text}" is not a layer range; write from-to, e.g. 0-12`)
  return { from: Number(digits[1]), to: Number(digits[2]) }
}
