/** Ranges of shapes: their two forms, what follows for other inputs, and what lies outside. */
import { describe, expect, it } from 'vitest'
import type { DeclaredTensor } from '../../shared/contracts/common.ts'
import {
  completeRanges,
  formatShapeRanges,
  parseShapeRanges,
  refuseOutside,
  ShapeRanges,
} from '../../shared/contracts/shape-ranges.ts'

const declared = (shapes: Record<string, DeclaredTensor['shape']>): DeclaredTensor[] =>
  Object.entries(shapes).map(([name, shape]) => ({ name, datatype: 'INT64', shape }))

const bert = declared({ ids: ['batch', 'length'], mask: ['batch', 'length'], scale: [1, ''] })
const shapes = { ids: [1, 16], mask: [1, 16], scale: [1, 3] }

describe('ranges of shapes', () => {
  it('are sizes or ranges of sizes', () => {
    expect(ShapeRanges.safeParse({ ids: ['1', '8..512', 4, '0'] }).success).toBe(true)
    for (const wrong of ['9..8', '-1', '1..', '..2', '1...2', 'a', '', '1x2', '1.5', '0x10', ' 1'])
      expect([wrong, ShapeRanges.safeParse({ ids: [wrong] }).success]).toEqual([wrong, false])
  })

  it('are written and read as text', () => {
    for (const text of ['ids:1x8..512', 'ids:1x8..512,a:b:3', 'scalar:'])
      expect(formatShapeRanges(parseShapeRanges(text))).toBe(text)
    expect(parseShapeRanges('{"a,b":["1..2"]}')).toEqual({ 'a,b': ['1..2'] })
    for (const wrong of ['ids', ':1', 'ids:1x', 'ids:8..1', '{"ids":1}', '{'])
      expect(() => parseShapeRanges(wrong)).toThrow(/shapes|form/)
  })

  it('hold for the symbols of other inputs; what is not given keeps the size of the plan', () => {
    expect(completeRanges(bert, shapes, { ids: [1, '8..512'] })).toEqual({
      ids: ['1', '8..512'],
      mask: ['1', '8..512'],
      scale: ['1', '3'],
    })
    expect(completeRanges(bert, shapes, { scale: ['1', '2..4'] })).toEqual({
      ids: ['1', '16'],
      mask: ['1', '16'],
      scale: ['1', '2..4'],
    })
  })

  it('of dimensions without a name do not follow each other; of a size of 0 and an unknown rank, any are taken', () => {
    const odd = declared({ a: ['', ''], b: [0], c: ['...'] })
    const sizes = { a: [2, 3], b: [4], c: [5, 6] }
    const given = { a: ['1..2', '3..9'], b: ['1..7'], c: ['1', '2..3', '4'] }
    expect(completeRanges(odd, sizes, given)).toEqual(given)
  })

  it('must agree with the file and with each other', () => {
    const refused = (given: ShapeRanges) => () => completeRanges(bert, shapes, given)
    expect(refused({ tokens: ['1'] })).toThrow('no input "tokens"; it has ids, mask, scale')
    expect(refused({ ids: ['1'] })).toThrow('has 1 dimensions instead of 2')
    expect(refused({ scale: ['1..2', '3'] })).toThrow('differs in dimension 0, which is not open')
    expect(refused({ ids: ['1', '8..9'], mask: ['1', '8..10'] })).toThrow('gives "length" the sizes 8..10')
  })

  it('refuse a tensor outside of them, naming both', () => {
    const ranges = { ids: ['1', '8..512'] }
    const outside = (shape: number[]) => () => refuseOutside(ranges, [{ name: 'ids', shape }], 'deployment d')
    for (const shape of [
      [1, 8],
      [1, 512],
      [1, 100],
    ])
      expect(outside(shape)).not.toThrow()
    for (const shape of [[1, 7], [1, 513], [2, 8], [8], [1, 8, 1], []])
      expect(outside(shape)).toThrow(`"ids" has shape [${shape.join(',')}]; deployment d takes [1,8..512]`)
  })
})
