import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { attribute } from '../../../../services/inference/jobs/profiler/layer-times.ts'
import type { OptimisedNode } from '../../../../services/inference/jobs/profiler/profiler-output.ts'
import type { Layer } from '../../../../shared/contracts/model.ts'
import { spec } from '../../tiny-models.ts'

/** A chain of layers: each takes the output of the one before (`t0`, `t1`, …; `x` first). */
function chain(...ops: [op: string, macs?: number][]): Layer[] {
  return ops.map(([op, macs], index) => ({
    index,
    name: `layer ${index}`,
    op,
    inputs: [index === 0 ? 'x' : `t${index - 1}`],
    outputs: [spec(`t${index}`, 'FP32', [10])],
    weightBytes: 0,
    macs: macs ?? null,
  }))
}
const node = (name: string, op: string, input: string, output: string): OptimisedNode => ({
  name,
  op,
  inputs: [input],
  outputs: [output],
})
const placed = (layers: Layer[], nodes: OptimisedNode[]) =>
  attribute(layers, nodes).map((shares) => shares && Object.fromEntries(shares))

describe('a node of the optimised graph', () => {
  it('that was not changed counts for its layer', () => {
    const layers = chain(['Conv', 100], ['MaxPool'])
    expect(placed(layers, [node('L0', 'Conv', 'x', 't0'), node('L1', 'MaxPool', 't0', 't1')])).toEqual([
      { 0: 1 },
      { 1: 1 },
    ])
  })

  it('that fuses a convolution with what follows counts for the convolution alone', () => {
    const layers = chain(['Conv', 100], ['BatchNormalization'], ['Relu'], ['MaxPool'])
    expect(placed(layers, [node('L0', 'FusedConv', 'x', 't2'), node('L3', 'MaxPool', 't2', 't3')])).toEqual([
      { 0: 1 },
      { 3: 1 },
    ])
  })

  it('in the blocked layout is found by the tensor in its name', () => {
    const layers = chain(['Conv', 100], ['Relu'], ['Conv', 50], ['Relu'])
    const nodes = [
      node('ReorderInput', 'ReorderInput', 'x', 'reorder'),
      node('t1_nchwc', 'Conv', 'reorder', 'reorder_token_1'),
      node('t3_nchwc', 'Conv', 'reorder_token_1', 'reorder_token_2'),
      node('ReorderOutput', 'ReorderOutput', 'reorder_token_2', 't3'),
    ]
    expect(placed(layers, nodes)).toEqual([{ 0: 1 }, { 0: 1 }, { 2: 1 }, { 3: 1 }])
  })

  it('that was made by casting half floats is found by the tensor in its name', () => {
    const layers = chain(['Conv', 100], ['Relu'])
    const nodes = [
      node('InsertedPrecisionFreeCast_x', 'Cast', 'x', 'InsertedPrecisionFreeCast_x'),
      node('InsertedPrecisionFreeCast_t1_nchwc', 'Conv', 'InsertedPrecisionFreeCast_x', 'reorder_token_0'),
    ]
    expect(placed(layers, nodes)).toEqual([{ 0: 1 }, { 0: 1 }])
  })

  it('that fuses activations keeps the layer in its name', () => {
    const [conv, sigmoid, mul] = chain(['Conv', 100], ['Sigmoid'], ['Mul']) as [Layer, Layer, Layer]
    const layers = [conv, sigmoid, { ...mul, inputs: ['t0', 't1'] }]
    const nodes = [
      node('t0_nchwc', 'Conv', 'x', 'reorder_token_0'),
      node('L2/QuickGeluFusion/', 'QuickGelu', 'reorder_token_0', 'reorder_token_1'),
    ]
    expect(placed(layers, nodes)).toEqual([{ 0: 1 }, { 1: 0.5, 2: 0.5 }])
  })

  it('that fuses several products is split by their multiply-accumulates', () => {
    const layers = chain(['MatMul', 300], ['Softmax'], ['MatMul', 100])
    expect(placed(layers, [node('Attention', 'Attention', 'x', 't2')])).toEqual([{ 0: 0.75, 2: 0.25 }])
  })

  it('that knows no tensor of the model counts for the node before it', () => {
    const layers = chain(['Conv', 100], ['Relu'])
    const nodes = [
      node('L0', 'Conv', 'x', 't0'),
      node('Transpose', 'Transpose', 't0', 'inner'),
      node('L1', 'Relu', 'inner', 't1'),
    ]
    expect(placed(layers, nodes)).toEqual([{ 0: 1 }, { 0: 1 }, { 1: 1 }])
  })

  it('stays unplaced only when nothing connects it to a layer', () => {
    expect(placed(chain(['Relu']), [node('foreign', 'Relu', 'a', 'b')])).toEqual([undefined])
  })
})

it('whatever fuses with whatever, every part of the time goes to a layer that the node covers', () => {
  const macs = fc.option(fc.integer({ min: 0, max: 1000 }), { nil: undefined })
  fc.assert(
    fc.property(fc.array(fc.tuple(macs, fc.boolean()), { minLength: 1, maxLength: 30 }), (steps) => {
      const layers = chain(...steps.map(([value]): [string, number?] => (value ? ['Op', value] : ['Op'])))
      // A node ends at each flag, and at the end of the chain: it covers all layers since the one before.
      const ends = layers
        .map((layer) => layer.index)
        .filter((at) => steps[at]?.[1] || at === layers.length - 1)
      const starts = [0, ...ends.map((end) => end + 1)]
      const nodes = ends.map((end, at) => node(`n${at}`, 'Op', tensor((starts[at] ?? 0) - 1), tensor(end)))
      for (const [at, shares] of attribute(layers, nodes).entries()) {
        const indices = [...(shares ?? new Map<number, number>()).keys()]
        expect(Math.min(...indices)).toBeGreaterThanOrEqual(starts[at] ?? 0)
        expect(Math.max(...indices)).toBeLessThanOrEqual(ends[at] ?? 0)
        expect([...(shares?.values() ?? [])].reduce((sum, share) => sum + share, 0)).toBeCloseTo(1)
      }
    }),
  )
})

const tensor = (layer: number) => (layer < 0 ? 'x' : `t${layer}`)
