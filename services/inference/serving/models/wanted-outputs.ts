/** Outputs that a request names. */
import { ScissionError } from '../../../../shared/platform/errors.ts'
import type { TargetTensor } from './target.ts'

/** @param target its name. @param outputs what it has. @throws ScissionError invalidTensor for a name that is none of them. */
export function refuseUnknownOutputs(
  target: string,
  wanted: readonly string[],
  outputs: readonly Pick<TargetTensor, 'name'>[],
): void {
  const known = outputs.map(({ name }) => name)
  const unknown = wanted.find((name) => !known.includes(name))
  if (unknown === undefined) return
  throw new ScissionError(
    'invalidTensor',
    `unexpected inference output '${unknown}' for model '${target}'; it has ${known.join(', ')}`,
    { known },
  )
}
