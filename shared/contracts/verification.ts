/** What a deployment's verification found: how far the split's outputs are from those of the whole model. */
import { z } from 'zod'
import { InputShapes, ms, ResourceName, timestamp } from './common.ts'

const figure = z.number().nonnegative()

/** One output of the split beside the same output of the whole model. */
export const OutputDifference = z.object({
  output: z.string(),
  /** `shapes`: only the type and the shape, for the reason in `note`. */
  compared: z.enum(['values', 'shapes']),
  equal: z.boolean(),
  /** max |a − b|; absent without values, null if no number says it: NaN or infinity on one side, text, another shape. */
  maxAbsDiff: figure.nullable().optional(),
  /** `maxAbsDiff` / max(1, max |b|), b the whole model's output. */
  relativeDiff: figure.nullable().optional(),
  /** ‖a − b‖ / ‖b‖ (Euclid), as calibrations state it. */
  relativeError: figure.nullable().optional(),
  /** The largest allowed value of the comparison's `measure`; 0: the same bytes. */
  tolerance: figure.optional(),
  note: z.string().optional(),
})
export type OutputDifference = z.infer<typeof OutputDifference>

/** The outputs of one run through the split beside those of the whole model, with the same input. */
export const Comparison = z.object({
  /** `exact`: without the lossy codecs of the plan. `planned`: as clients use it. */
  path: z.enum(['exact', 'planned']),
  /** Of a deployment for a range of shapes, which is verified with several: the shapes of this input, and who ran the whole model. */
  inputShapes: InputShapes.optional(),
  against: ResourceName.optional(),
  /** The figure that is held against the tolerance. */
  measure: z.enum(['relativeDiff', 'relativeError']),
  /** Where the tolerance comes from. */
  basis: z.string(),
  equal: z.boolean(),
  outputs: z.array(OutputDifference),
})
export type Comparison = z.infer<typeof Comparison>

/**
 * `refused`: the split does not run with an end of its range of shapes. `impossible`: nothing could be compared, `reason` says
 * why. `off`: the request said `verify: false`.
 */
const VERIFICATION_OUTCOMES = ['equal', 'different', 'refused', 'impossible', 'off'] as const

export const Verification = z.object({
  outcome: z.enum(VERIFICATION_OUTCOMES),
  /** Why nothing could be compared (of a range of shapes: with which end of it), what differs and where, or what was refused. */
  reason: z.string().optional(),
  /** The resource that ran the whole model first. */
  against: ResourceName.optional(),
  input: z.enum(['made-up', 'sample']).optional(),
  comparisons: z.array(Comparison).default([]),
  tookMs: ms.optional(),
  endedAt: timestamp.optional(),
})
export type Verification = z.infer<typeof Verification>
