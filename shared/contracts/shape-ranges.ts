/** Ranges of input shapes: a deployment may take any shape within them. */
import { z } from 'zod'
import type { DeclaredTensor, InputShapes } from './common.ts'
import { ScissionError } from '../platform/errors.ts'
import { entryOf } from '../platform/entry-of.ts'

const DimensionRange = z
  .string()
  .regex(/^\d{1,15}(\.\.\d{1,15})?$/, 'a dimension is a size such as 16, or a range of sizes such as 8..512')
  .refine((text) => {
    const { min, max } = sizesOf(text)
    return min <= max
  }, 'a range of sizes begins with the smaller one')

/** Input name → its dimensions: `{"ids": ["1", "8..512"]}` is a batch of 1 and 8 to 512 tokens. */
export const ShapeRanges = z.record(
  z.string(),
  z.array(z.union([z.number().int().nonnegative(), DimensionRange])),
)
export type ShapeRanges = z.infer<typeof ShapeRanges>
type Dimension = ShapeRanges[string][number]

/** Both ends are included. */
export function sizesOf(dimension: Dimension): { min: number; max: number } {
  const [min = 0, max = min] = String(dimension).split('..').map(Number)
  return { min, max }
}

/** As `ids:1x8..512`, several joined by commas. */
export function formatShapeRanges(ranges: ShapeRanges): string {
  return Object.entries(ranges)
    .map(([name, dims]) => `${name}:${dims.join('x')}`)
    .join(',')
}

/**
 * Parses what `formatShapeRanges` writes. Names with a comma need JSON: `{"a,b":["1","8..512"]}`.
 * @throws ScissionError badRequest quoting the part that is malformed.
 */
export function parseShapeRanges(text: string): ShapeRanges {
  const entries = text.startsWith('{') ? undefined : text.split(',').map((part) => pairOf(part))
  const parsed = ShapeRanges.safeParse(entries ? Object.fromEntries(entries) : jsonOf(text))
  if (parsed.success) return parsed.data
  const [issue] = parsed.error.issues
  throw new ScissionError(
    'badRequest',
    `shapes "${text}" are not of the form ids:1x8..512: ${issue?.path.join('.')} ${issue?.message}`,
  )
}

function pairOf(part: string): [string, string[]] {
  const colon = part.lastIndexOf(':')
  if (colon < 1) throw new ScissionError('badRequest', `"${part}" is not of the form ids:1x8..512`)
  const dims = part.slice(colon + 1)
  return [part.slice(0, colon), dims === '' ? [] : dims.split('x')]
}

function jsonOf(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch (error) {
    throw new ScissionError('badRequest', `shapes ${text} are not JSON`, undefined, error)
  }
}

/**
 * The ranges of all inputs. A dimension that is not given has the range of its symbol in another input, else its size in
 * `shapes`.
 * @param declared the inputs as the file declares them. @param shapes of the plan.
 * @throws ScissionError badRequest naming the input that is unknown or contradicts its declaration.
 * @example
 * // ids and mask are both declared as ['batch', 'length']
 * completeRanges(model.inputs, { ids: [1, 16], mask: [1, 16] }, { ids: ['1', '8..512'] }).mask // ['1', '8..512']
 */
export function completeRanges(
  declared: readonly DeclaredTensor[],
  shapes: InputShapes,
  given: ShapeRanges,
): ShapeRanges {
  const known = declared.map(({ name }) => name)
  for (const name of Object.keys(given))
    if (!known.includes(name))
      throw new ScissionError(
        'badRequest',
        `shapes: the model has no input "${name}"; it has ${known.join(', ')}`,
      )
  const symbols = new Map<string, Dimension>()
  for (const input of declared) if (Object.hasOwn(given, input.name)) readSymbols(input, given, symbols)
  return Object.fromEntries(
    declared.map((input) => {
      const own = entryOf(given, input.name)
      const sizes = entryOf(shapes, input.name) ?? []
      const follows = (size: number, axis: number): Dimension => {
        const dim = input.shape[axis]
        return String((typeof dim === 'string' && symbols.get(dim)) || size)
      }
      return [input.name, own?.map(String) ?? sizes.map(follows)]
    }),
  )
}

/** Notes the ranges of an input's symbols. */
function readSymbols(
  { name, shape }: DeclaredTensor,
  given: ShapeRanges,
  symbols: Map<string, Dimension>,
): void {
  const ranges = entryOf(given, name) ?? []
  const refuse = (reason: string) =>
    new ScissionError(
      'badRequest',
      `shapes: input "${name}" is declared as [${shape.join(',')}], the given [${ranges.join(',')}] ${reason}`,
      { input: name, declared: shape, given: ranges },
    )
  if (shape[0] === '...') return
  if (ranges.length !== shape.length)
    throw refuse(`has ${ranges.length} dimensions instead of ${shape.length}`)
  for (const [axis, dim] of shape.entries()) {
    const range = ranges[axis] ?? 0
    if (typeof dim === 'number') {
      const { min, max } = sizesOf(range)
      if (dim !== 0 && (min !== dim || max !== dim))
        throw refuse(`differs in dimension ${axis}, which is not open`)
      continue
    }
    const before = symbols.get(dim)
    if (before !== undefined && String(before) !== String(range))
      throw refuse(`gives "${dim}" the sizes ${range}, another dimension gives it ${before}`)
    if (dim !== '') symbols.set(dim, range)
  }
}

/**
 * @param what the deployment, in the error.
 * @throws ScissionError invalidTensor naming the tensor, its shape and the range.
 */
export function refuseOutside(
  ranges: ShapeRanges,
  tensors: readonly { name: string; shape: readonly number[] }[],
  what: string,
): void {
  for (const { name, shape } of tensors) {
    const range = entryOf(ranges, name)
    // An unknown name is refused with the names of the inputs.
    if (!range) continue
    const fits =
      range.length === shape.length &&
      range.every((dimension, axis) => {
        const { min, max } = sizesOf(dimension)
        const size = shape[axis] ?? -1
        return min <= size && size <= max
      })
    if (fits) continue
    throw new ScissionError(
      'invalidTensor',
      `input tensor "${name}" has shape [${shape.join(',')}]; ${what} takes [${range.join(',')}]`,
      { tensor: name, given: shape, range },
    )
  }
}
