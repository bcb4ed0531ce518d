/**
 * How far the outputs of a split may be from those of the whole model.
 *
 * Without lossy codecs they differ only where sums are rounded in another order, on other machines or because a cut makes
 * ONNX Runtime round a tensor that it would have kept in higher precision. So the coarsest type decides, of those that cross
 * a cut and the output's own.
 *
 * What a lossy codec does to outputs is known from its calibration only, which states the bound of a mean over samples; a
 * single input may be further off.
 */
import type { Datatype } from '../../../shared/contracts/common.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import type { Comparison } from '../../../shared/contracts/verification.ts'
import { isFloat } from '../../../shared/tensors/tensor-difference.ts'
import type { MirroredCalibration } from '../knowledge/mirrored-documents.ts'
import { cutsOf, isLossy } from './trial-deployments.ts'
import type { VerificationInput } from './verification-input.ts'

export type Rule = Pick<Comparison, 'measure' | 'basis'> & {
  /** By output. Without one, its difference is stated and not judged. */
  tolerances: ReadonlyMap<string, number>
  /** Why an output that is missing in `tolerances` is not judged. */
  notJudged: string
  /** True if whole numbers, text and truth values may differ, because a lossy codec may turn them over. */
  lossy: boolean
}

/** Of single precision and finer types; documented as what a split keeps to. */
const FLOAT_TOLERANCE = 1e-5
/** 11 and 8 significant bits: a few roundings in the last one. */
const COARSE_TOLERANCE: Partial<Record<Datatype, number>> = { FP16: 1e-3, BF16: 8e-3 }

/**
 * A single input may be so many times further off than the mean over the samples of a calibration: if it is of their kind,
 * and if it is not. Noise through MobileNetV2 was 2.7 times as far off as images that the cut was calibrated with.
 */
const MARGIN = { sameKind: 4, otherKind: 20 }

const toleranceOf = (datatype: Datatype): number => COARSE_TOLERANCE[datatype] ?? FLOAT_TOLERANCE

/** The rule for the split without lossy codecs. */
export function exactRule(structure: Structure, deployment: Deployment): Rule {
  const crossing = typesAt(structure, cutsOf(deployment, structure.layers.length))
  const coarsest = Math.max(FLOAT_TOLERANCE, ...crossing.map(toleranceOf))
  const tolerances = structure.outputs.map(
    ({ name, datatype }) =>
      [name, isFloat(datatype) ? Math.max(coarsest, toleranceOf(datatype)) : 0] as const,
  )
  return {
    measure: 'relativeDiff',
    basis:
      'rounding of the coarsest type that crosses a cut or is put out: 1e-5 for FP32 and FP64, 1e-3 for FP16, ' +
      '8e-3 for BF16, 0 for all others',
    tolerances: new Map(tolerances),
    notJudged: 'it is not an output of the model on record',
    lossy: false,
  }
}

/**
 * The rule for the split with its codecs, of which one at least is lossy.
 * @param calibrations of the model, best last. @param input what the outputs were made from.
 */
export function plannedRule(
  structure: Structure,
  deployment: Deployment,
  calibrations: readonly MirroredCalibration[],
  input: VerificationInput['source'],
): Rule {
  const cells = calibrations.flatMap(({ cells: own, sampleSource }) => {
    const sameKind = (sampleSource === 'made-up') === (input === 'made-up')
    const margin = sameKind ? MARGIN.sameKind : MARGIN.otherKind
    return own.map((cell) => ({ ...cell, allowed: margin * cell.relativeErrorBound }))
  })
  const lossy = deployment.hops.filter(isLossy)
  const found = lossy.map(({ from, codec }) =>
    cells.findLast((cell) => cell.boundary === from && cell.codec === codec),
  )
  const missing = lossy.filter((_hop, index) => found[index] === undefined)
  const tolerance = found.reduce((sum, cell) => sum + (cell?.allowed ?? 0), FLOAT_TOLERANCE)
  const judged = missing.length > 0 ? [] : structure.outputs.filter(({ datatype }) => isFloat(datatype))
  return {
    measure: 'relativeError',
    basis:
      `the calibrated relativeErrorBound of ${named(lossy)}, times ${MARGIN.sameKind}, ` +
      `or ${MARGIN.otherKind} where it was calibrated with samples of another kind than the ${input} input`,
    tolerances: new Map(judged.map(({ name }) => [name, tolerance])),
    notJudged: `not judged: ${named(missing)} is not calibrated ${deployment.shapes ? 'for a range of shapes' : 'any more'}`,
    lossy: true,
  }
}

const named = (hops: Deployment['hops']): string =>
  hops.map(({ from, codec }) => `${codec} at boundary ${from}`).join(', ')

function typesAt({ inputs, layers, boundaries }: Structure, cuts: readonly number[]): Datatype[] {
  const types = new Map(
    [...inputs, ...layers.flatMap(({ outputs }) => outputs)].map(({ name, datatype }) => [name, datatype]),
  )
  return cuts.flatMap((k) => (boundaries[k]?.tensors ?? []).flatMap((name) => types.get(name) ?? []))
}
