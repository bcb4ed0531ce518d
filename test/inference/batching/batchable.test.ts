import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  batchSizes,
  whatDiffers,
  whyNoBatches,
  whyNoBatchOf,
} from '../../../services/inference/serving/batching/batchable.ts'
import { joinItems, splitItems } from '../../../services/inference/serving/batching/items.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { branchedModel, singleLayerModel, toySpec } from '../support/toy-models.ts'
import { floats, fp32, spec } from '../tiny-models.ts'

describe('batches', () => {
  it('come in powers of two up to the largest, and the largest', () => {
    expect([1, 2, 3, 4, 6, 8, 12].map(batchSizes)).toEqual([
      [],
      [2],
      [2, 3],
      [2, 4],
      [2, 4, 6],
      [2, 4, 8],
      [2, 4, 8, 12],
    ])
  })

  it('fall apart into the items that they were made of', () => {
    const item = fc.array(fc.float({ noNaN: true }), { minLength: 6, maxLength: 6 })
    fc.assert(
      fc.property(fc.array(item, { minLength: 1, maxLength: 9 }), (items) => {
        const tensors = items.map((values) => [fp32('x', [2, 3], values), fp32('z', [1], values.slice(0, 1))])
        const batch = joinItems(tensors)
        expect(batch.map(({ shape }) => shape)).toEqual([[2 * items.length, 3], [items.length]])
        expect(splitItems(batch, items.length)).toEqual(tensors)
      }),
    )
  })
})

describe('a model', () => {
  const open = singleLayerModel('e', 'open', toySpec('x', 'FP32', [1, 2]), (x) => x)
  const declared = (shape: (number | string)[]) => ({
    inputs: [{ name: 'x', datatype: 'FP32' as const, shape }],
    outputs: [{ name: 'y', datatype: 'FP32' as const, shape: ['', 2] }],
  })

  it('takes batches where its file leaves the first dimension of everything open', () => {
    expect(whyNoBatches(declared(['n', 2]), open.structure)).toBeUndefined()
    expect(whyNoBatches(declared([1, 2]), open.structure)).toMatch(/"x" is not open/)
    expect(whyNoBatches(declared([]), open.structure)).toMatch(/"x" is not open/)
  })

  it('takes none where it was fixed to several items, decides on its way, or takes strings', () => {
    const several = branchedModel('a').structure
    expect(whyNoBatches(declared(['n', 2]), several)).toMatch(/2 rows/)
    const layers = open.structure.layers.map((layer) => ({ ...layer, op: 'If' }))
    expect(whyNoBatches(declared(['n', 2]), { ...open.structure, layers })).toMatch(/layer 0 is If/)
    const text = open.structure.inputs.map((input) => ({ ...input, datatype: 'BYTES' as const }))
    expect(whyNoBatches(declared(['n', 2]), { ...open.structure, inputs: text })).toMatch(/strings/)
  })

  it('takes none where a boundary does not grow with the batch', () => {
    const at = (shape: number[]) => ({ inputs: [spec('x', 'FP32', shape)], outputs: [] })
    expect(whyNoBatchOf(at([1, 3]), at([4, 3]), 4)).toBeUndefined()
    for (const shape of [[1, 3], [4, 4], [4, 3, 1], [12]])
      expect(whyNoBatchOf(at([1, 3]), at(shape), 4)).toMatch(/"x" has shape/)
    expect(whyNoBatchOf(at([]), at([]), 4)).toMatch(/"x" has shape/)
    expect(whyNoBatchOf(at([-1, 3]), at([-1, 3]), 4)).toMatch(/"x" has shape/)
    expect(whyNoBatchOf(at([1, 3]), { inputs: [spec('z', 'FP32', [4, 3])], outputs: [] }, 4)).toMatch(
      /z instead of x/,
    )
  })
})

describe('the try of a batch', () => {
  const specs = [spec('x', 'FP32', [1, 64])]
  const each = async ([x]: readonly Tensor[]) => [fp32('y', x?.shape ?? [], floats(x).map(Math.tanh))]

  it('passes what works on each item by itself', async () => {
    expect(await whatDiffers(specs, undefined, 4, { one: each, many: each })).toBeUndefined()
  })

  it('finds what an item takes from another: its mean, its scale, its place', async () => {
    const mixers: Record<string, (values: number[]) => number[]> = {
      mean: (values) =>
        values.map((value) => value - values.reduce((sum, one) => sum + one, 0) / values.length),
      scale: (values) => {
        const step = Math.max(...values.map(Math.abs)) / 127
        return values.map((value) => Math.round(value / step) * step)
      },
      place: (values) => values.toReversed(),
    }
    for (const [name, mix] of Object.entries(mixers)) {
      const run = async ([x]: readonly Tensor[]) => [fp32('y', x?.shape ?? [], mix(floats(x)))]
      const runOne = name === 'place' ? each : run
      expect([name, await whatDiffers(specs, undefined, 4, { one: runOne, many: run })]).toEqual([
        name,
        expect.stringContaining('"y" of item'),
      ])
    }
  })
})
