import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { whatDiffers } from '../../../services/inference/serving/batching/batch-trial.ts'
import {
  batchSizes,
  whyNoBatches,
  whyNoBatchOf,
} from '../../../services/inference/serving/batching/batchable.ts'
import { joinItems, splitItems } from '../../../services/inference/serving/batching/items.ts'
import type { Tensor } from '../../../shared/contracts/tensor.ts'
import { ScissionError } from '../../../shared/platform/errors.ts'
import { typedView } from '../../../shared/oip/typed-view.ts'
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
    const layers = open.structure.layers.map((layer) => ({ ...layer, op: 'f::G', branches: true as const }))
    expect(whyNoBatches(declared(['n', 2]), { ...open.structure, layers })).toMatch(/layer 0 is f::G/)
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

  /** Runs the whole tensor through a function; for one item that is the item. */
  const through = (mix: (values: number[]) => number[]) => {
    const run = async ([x]: readonly Tensor[]) => [fp32('y', x?.shape ?? [], mix(floats(x)))]
    return { one: run, many: run }
  }
  const largest = (values: readonly number[]) => Math.max(...values.map(Math.abs))
  const finite = (values: readonly number[]) => values.filter(Number.isFinite)
  const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)

  it.each<[string, (values: number[]) => number[]]>([
    ['its mean', (values) => values.map((value) => value - sum(values) / values.length)],
    ['its scale', (values) => values.map((value) => Math.round((value * 127) / largest(values)) / 127)],
    [
      'its largest value, if that is large',
      (values) => (largest(values) > 1e3 ? values.map(() => 0) : values),
    ],
    [
      'its largest value, if that is huge',
      (values) => (largest(values) > 1e7 ? values.map(() => 0) : values),
    ],
    [
      'its smallest value, if that is low',
      (values) => (Math.min(...values) < -9000 ? values.map(() => 0) : values),
    ],
    ['a little of its sum', (values) => values.map((value) => value + 1e-9 * sum(finite(values)))],
    ['whether it is a number', (values) => (values.some(Number.isNaN) ? values.map(() => 0) : values)],
    ['whether it is infinite', (values) => (values.includes(-Infinity) ? values.map(() => 0) : values)],
    [
      'whether it is empty',
      (values) => (values.slice(0, 64).every((value) => value === 0) ? values.map(() => 9) : values),
    ],
  ])('finds what an item takes from another: %s', async (_what, mix) => {
    for (const size of [2, 3, 8])
      expect(await whatDiffers(specs, undefined, size, through(mix))).toMatch(/"y" differs by .* in item/)
  })

  it('finds what an item takes from its place', async () => {
    const many = through((values) => values.toReversed()).many
    expect(await whatDiffers(specs, undefined, 4, { one: each, many })).toMatch(/"y" differs/)
    const ramp = through((values) => values.map((value, index) => value + (index >= 128 ? 1 : 0))).many
    const one = through((values) => values).one
    expect(await whatDiffers(specs, undefined, 2, { one, many: ramp })).toBeUndefined()
    expect(await whatDiffers(specs, undefined, 3, { one, many: ramp })).toMatch(/item 2/)
  })

  it('finds any difference of whole numbers, and a NaN where an item alone has none', async () => {
    const whole = (shift: number) => async (tensors: readonly Tensor[]) => {
      const shape = tensors[0]?.shape ?? []
      const places = Int32Array.from(floats(tensors[0]), (_, index) => (index % 64) + shift)
      return [{ name: 'y', datatype: 'INT32' as const, shape, bytes: new Uint8Array(places.buffer) }]
    }
    expect(await whatDiffers(specs, undefined, 2, { one: whole(0), many: whole(0) })).toBeUndefined()
    expect(await whatDiffers(specs, undefined, 2, { one: whole(0), many: whole(1) })).toMatch(/"y" differs/)
    const { many } = through((values) => values.map((value, index) => (index === 3 ? Number.NaN : value)))
    const { one } = through((values) => values)
    expect(await whatDiffers(specs, undefined, 2, { one, many })).toMatch(/"y" differs/)
  })

  it('does not blame a batch for values that an item alone is refused for', async () => {
    const wary = async ([x]: readonly Tensor[]) => {
      if (!floats(x).every(Number.isFinite)) throw new ScissionError('invalidValues', 'no number')
      return [fp32('y', x?.shape ?? [], floats(x))]
    }
    expect(await whatDiffers(specs, undefined, 4, { one: wary, many: wary })).toBeUndefined()
    const together = async () => {
      throw new ScissionError('internal', 'only together')
    }
    expect(await whatDiffers(specs, undefined, 4, { one: each, many: together })).toMatch('only together')
  })

  it('is not decided by a run that could not be made', async () => {
    const busy = async () => {
      throw new ScissionError('overloaded', 'later')
    }
    await expect(whatDiffers(specs, undefined, 2, { one: each, many: busy })).rejects.toThrow('later')
  })

  it('stays within the hints: an index is never past its table, a fixed value stays', async () => {
    const seen = {
      index: new Set<number>(),
      mode: new Set<number>(),
      mask: new Set<number>(),
      share: new Set<number>(),
    }
    const inputs = [
      spec('share', 'FP32', [1, 2]),
      spec('index', 'INT64', [1, 4]),
      spec('mode', 'INT32', [1, 1]),
      spec('mask', 'BOOL', [1, 2]),
    ]
    const run = async (tensors: readonly Tensor[]) => {
      for (const tensor of tensors)
        for (const value of typedView(tensor)) seen[tensor.name as keyof typeof seen].add(Number(value))
      const index = tensors.find(({ name }) => name === 'index')
      return index ? [{ ...index, name: 'y' }] : []
    }
    const hints = { index: { max: 7 }, mode: { value: 3 }, share: { elements: [0.25, 0.5] } }
    expect(await whatDiffers(inputs, hints, 4, { one: run, many: run })).toBeUndefined()
    expect(Math.max(...seen.index)).toBe(7)
    expect([...seen.mode]).toEqual([3])
    expect([...seen.share]).toEqual([0.25, 0.5])
    expect(seen.mask).toEqual(new Set([0, 1]))
  })
})
