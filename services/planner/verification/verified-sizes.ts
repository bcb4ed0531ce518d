/**
 * The sizes of inputs with which a deployment is verified: those of the analysis and, if it takes a range of shapes, both ends
 * of the range.
 */
import type { InputShapes, TensorSpec } from '../../../shared/contracts/common.ts'
import { formatInputShapes } from '../../../shared/contracts/format-input-shapes.ts'
import type { Structure } from '../../../shared/contracts/model.ts'
import { type ShapeRanges, sizesOf } from '../../../shared/contracts/shape-ranges.ts'
import { ELEMENT_BYTES } from '../../../shared/contracts/tensor.ts'
import { entryOf } from '../../../shared/platform/entry-of.ts'

export interface VerifiedSizes {
  inputs: readonly TensorSpec[]
  /** Set for a range of shapes: the shapes of all inputs. */
  shapes?: InputShapes
  /** Set for an end of a range: words that name it, and the shapes of the inputs that vary. */
  end?: string
}

/** At most three, no two alike: those that the structure was tried with, or the nearest in the range, come first. */
export function verifiedSizes(structure: Structure, ranges: ShapeRanges | undefined): VerifiedSizes[] {
  if (!ranges) return [{ inputs: structure.inputs }]
  const tried = sized(structure, ranges, (min, max, size = min) => Math.min(Math.max(size, min), max))
  const ends = [
    { ...sized(structure, ranges, (min) => min), name: 'smallest' },
    { ...sized(structure, ranges, (_min, max) => max), name: 'largest' },
  ]
  const seen = new Set([JSON.stringify(tried.shapes)])
  const others = ends.flatMap(({ name, ...sizes }) => {
    const key = JSON.stringify(sizes.shapes)
    if (seen.has(key)) return []
    seen.add(key)
    return [{ ...sizes, end: `the ${name} inputs ${varying(sizes.shapes, ranges)}` }]
  })
  return [tried, ...others]
}

/** @param choose a size of each dimension, of its range and the size that it was tried with. */
function sized(
  { inputs, inputShapes }: Structure,
  ranges: ShapeRanges,
  choose: (min: number, max: number, tried: number | undefined) => number,
) {
  const specs = inputs.map((input) => {
    const tried = entryOf(inputShapes, input.name) ?? input.shape
    const shape = (entryOf(ranges, input.name) ?? tried).map((dimension, axis) => {
      const { min, max } = sizesOf(dimension)
      return choose(min, max, tried[axis])
    })
    return { ...input, shape, bytes: bytesOf(input, shape) }
  })
  return { inputs: specs, shapes: Object.fromEntries(specs.map(({ name, shape }) => [name, shape])) }
}

/** Of text at least, whose length is not known. Ranges may be so wide that this is more than any memory. */
const bytesOf = ({ datatype }: TensorSpec, shape: readonly number[]): number =>
  shape.reduce((count, dim) => count * dim, datatype === 'BYTES' ? TEXT_BYTES : ELEMENT_BYTES[datatype])

/** The length before each text. */
const TEXT_BYTES = 4

function varying(shapes: InputShapes, ranges: ShapeRanges): string {
  const names = Object.keys(shapes).filter((name) =>
    entryOf(ranges, name)?.some((dimension) => sizesOf(dimension).min < sizesOf(dimension).max),
  )
  return formatInputShapes(Object.fromEntries(names.map((name) => [name, shapes[name] ?? []])))
}
