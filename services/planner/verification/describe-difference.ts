/** Sentences about outputs that differ. */
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Comparison, OutputDifference } from '../../../shared/contracts/verification.ts'

/** Outputs that a sentence names; the record lists all. */
const MAX_NAMED = 5

/** @param resource that ran the whole model. @param input words for the input, as `describeInput` has them. */
export function describeDifference(
  { outputs, path, measure }: Comparison,
  resource: string,
  input: string,
): string {
  const differing = outputs.filter(({ equal }) => !equal)
  const named = differing.slice(0, MAX_NAMED).map((one) => describeOutput(one, measure))
  const more = differing.length > MAX_NAMED ? `, and ${differing.length - MAX_NAMED} more outputs` : ''
  const split = path === 'exact' ? 'the split without lossy codecs' : 'the split'
  return `${split} does not give what the whole model gives on ${resource} with ${input}: ${named.join(', ')}${more}`
}

function describeOutput(difference: OutputDifference, measure: Comparison['measure']): string {
  const { output, compared, note, maxAbsDiff, tolerance = 0 } = difference
  if (compared === 'shapes') return `output "${output}" ${note}`
  const apart = difference[measure]
  if (apart === null || apart === undefined)
    return `output "${output}" has values that are not equal as text, NaN or infinity`
  const allowed = tolerance === 0 ? 'its type allows no difference' : `allowed ${tolerance.toExponential(1)}`
  return `output "${output}" is off by up to ${maxAbsDiff?.toExponential(2)} (${measure} ${apart.toExponential(2)}, ${allowed})`
}

/** @param suspects cuts that alone, on one resource, make the outputs differ. @param cuts all of them. */
export function describeSuspects(
  suspects: readonly number[],
  cuts: readonly number[],
  { layers }: Structure,
  resource: string,
): string {
  if (suspects.length === 0) {
    const tried = cuts.length === 0 ? 'it has no cut' : `no cut makes it differ on ${resource} alone`
    return `${tried}, so the machines of its path compute differently: see their versions of ONNX Runtime`
  }
  const places = suspects.map((k) => `boundary ${k}, before layer "${layers[k]?.name}" (${layers[k]?.op})`)
  return `on ${resource} alone it already differs when cut at ${places.join('; ')}: plan with another cut`
}
