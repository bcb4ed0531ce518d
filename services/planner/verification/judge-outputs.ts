/** Judges the outputs of a run against those of the whole model. Runs on the thread of tensor-thread.ts. */
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import type { OutputDifference } from '../../../shared/contracts/verification.ts'
import { formDifference, isFloat, tensorDifference } from '../../../shared/tensors/tensor-difference.ts'
import type { Rule } from './tolerances.ts'

/** @param expected the whole model's outputs, all of which the run must have. */
export function judgeOutputs(
  expected: readonly Tensor[],
  actual: readonly Tensor[],
  rule: Rule,
): OutputDifference[] {
  const byName = new Map(actual.map((tensor) => [tensor.name, tensor]))
  return expected.map((tensor) => judge(tensor, byName.get(tensor.name), rule))
}

function judge(expected: Tensor, actual: Tensor | undefined, rule: Rule): OutputDifference {
  const output = expected.name
  const form = actual ? formDifference(expected, actual) : 'is missing'
  if (!actual || form !== undefined) return { output, compared: 'shapes', equal: false, note: form }
  if (rule.lossy && !isFloat(expected.datatype))
    return {
      output,
      compared: 'shapes',
      equal: true,
      note: `a lossy codec may turn over the values of ${expected.datatype}`,
    }
  const { maxAbsDiff, maxAbs, relativeError } = tensorDifference(expected, actual)
  const relativeDiff = maxAbsDiff / Math.max(1, maxAbs)
  const figures = {
    output,
    compared: 'values',
    maxAbsDiff: finite(maxAbsDiff),
    relativeDiff: finite(relativeDiff),
    relativeError: finite(relativeError),
  } as const
  const tolerance = rule.tolerances.get(output)
  if (tolerance === undefined) return { ...figures, equal: true, note: rule.notJudged }
  const measured = rule.measure === 'relativeDiff' ? relativeDiff : relativeError
  return { ...figures, equal: measured <= tolerance, tolerance }
}

/** JSON has no infinity. */
const finite = (value: number): number | null => (Number.isFinite(value) ? value : null)

/**
 * What remains of differences once it is known that the whole model does not answer the same twice: of outputs that are
 * random only the form counts.
 * @param again how two runs of the whole model differ.
 */
export function allowRandom(
  differences: readonly OutputDifference[],
  again: readonly OutputDifference[],
): OutputDifference[] {
  const random = new Map(again.filter(({ equal }) => !equal).map((one) => [one.output, one]))
  return differences.map((difference) => {
    const apart = random.get(difference.output)
    if (difference.equal || !apart) return difference
    const { output } = difference
    if (apart.compared === 'shapes') {
      const note = `random: in a second run of the whole model it ${apart.note}; only that it is there was compared`
      return { output, compared: 'shapes', equal: difference.note !== 'is missing', note }
    }
    if (difference.compared === 'shapes') return difference
    const by = apart.maxAbsDiff === null ? '' : ` by ${apart.maxAbsDiff?.toExponential(1)}`
    return {
      output,
      compared: 'shapes',
      equal: true,
      note: `random: two runs of the whole model differ${by}; only type and shape were compared`,
    }
  })
}
