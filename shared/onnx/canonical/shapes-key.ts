/** The key of the fixed input shapes that a canonical graph was made for. */
import { createHash } from 'node:crypto'
import type { DeclaredTensor, InputShapes, ShapesKey } from '../../contracts/common.ts'

/**
 * Increases when a new version of the analysis may number layers in another way, or write other bytes. Everything that was
 * made for a key, profiles and plans included, is then made again, instead of being taken for what it no longer is.
 */
const ANALYSIS = 3

/**
 * The first 12 hexadecimal digits of the SHA-256 of the shapes' JSON with the input names sorted, and of the version of the
 * analysis.
 * The shapes must be those of all inputs (`resolveInputShapes`): a partial set has another key.
 * @example
 * shapesKeyOf({ input: [1, 3, 224, 224] }) // 12 hexadecimal digits
 */
export function shapesKeyOf(inputShapes: InputShapes): ShapesKey {
  return keyOf(sorted(Object.entries(inputShapes)))
}

/**
 * The key of the canonical graph that leaves open what the file leaves open: one per model.
 * @example
 * openShapesKeyOf([{ name: 'ids', datatype: 'INT64', shape: ['batch', 'length'] }]) // 12 hexadecimal digits
 */
export function openShapesKeyOf(declared: readonly DeclaredTensor[]): ShapesKey {
  return keyOf(['open', ...sorted(declared.map(({ name, shape }) => [name, shape]))])
}

const sorted = <T>(entries: readonly [string, T][]): [string, T][] =>
  entries.toSorted(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))

function keyOf(shapes: readonly unknown[]): ShapesKey {
  return createHash('sha256')
    .update(JSON.stringify([ANALYSIS, shapes]))
    .digest('hex')
    .slice(0, 12) as ShapesKey
}
