import { describe, expect, it } from 'vitest'
import { macsOf } from '../../shared/onnx/structure/macs.ts'
import type { NodeProto } from '../../shared/onnx/proto/onnx_pb.ts'
import { DataType, node } from './support/build.ts'

function count(given: NodeProto, shapes: Record<string, number[]>): number | null {
  const typed = Object.entries(shapes).map(
    ([name, shape]) => [name, { name, code: DataType.FLOAT, shape }] as const,
  )
  return macsOf(given, new Map(typed))
}

describe('multiply-accumulates', () => {
  it('of a convolution: outputs × input channels of the group × kernel', () => {
    const shapes = { x: [1, 3, 224, 224], w: [64, 3, 7, 7], y: [1, 64, 112, 112] }
    expect(count(node('Conv', ['x', 'w'], ['y']), shapes)).toBe(64 * 112 * 112 * 3 * 7 * 7)
    const depthwise = { x: [1, 32, 56, 56], w: [32, 1, 3, 3], y: [1, 32, 56, 56] }
    expect(count(node('Conv', ['x', 'w'], ['y'], { group: 32 }), depthwise)).toBe(32 * 56 * 56 * 9)
  })

  it('of a transposed convolution: inputs × output channels of the group × kernel', () => {
    const shapes = { x: [1, 8, 10, 10], w: [8, 4, 2, 2], y: [1, 4, 20, 20] }
    expect(count(node('ConvTranspose', ['x', 'w'], ['y']), shapes)).toBe(800 * 4 * 4)
  })

  it('of matrix products: outputs × inner dimension, transposed or batched', () => {
    expect(count(node('MatMul', ['a', 'b'], ['y']), { a: [5, 2, 3], b: [3, 4], y: [5, 2, 4] })).toBe(120)
    expect(count(node('Gemm', ['a', 'b'], ['y'], { transA: 1 }), { a: [3, 2], b: [3, 4], y: [2, 4] })).toBe(
      24,
    )
  })

  it('of quantised forms: like the plain ones', () => {
    const shapes = { x: [1, 3, 8, 8], w: [4, 3, 3, 3], y: [1, 4, 6, 6] }
    const inputs = ['x', 's', 'z', 'w', 's', 'z', 's', 'z']
    expect(count(node('QLinearConv', inputs, ['y']), shapes)).toBe(4 * 36 * 27)
  })

  it('of recurrent layers: all gates of every step', () => {
    const shapes = { x: [10, 1, 16], w: [2, 80, 16], r: [2, 80, 20], y: [10, 2, 1, 20] }
    expect(count(node('LSTM', ['x', 'w', 'r'], ['y']), shapes)).toBe(10 * (2 * 80 * 16 + 2 * 80 * 20))
  })

  it('are none where numbers are only moved, and unknown where no count is agreed on', () => {
    expect(count(node('Relu', ['x'], ['y']), { x: [4], y: [4] })).toBe(0)
    expect(count(node('If', ['x'], ['y']), { x: [], y: [4] })).toBeNull()
    expect(count(node('Mystery', ['x'], ['y'], {}, { domain: 'acme' }), { x: [4], y: [4] })).toBeNull()
    expect(count(node('MatMul', ['a', 'b'], ['y']), { a: [-1, 3], b: [3, 4], y: [-1, 4] })).toBeNull()
  })
})
