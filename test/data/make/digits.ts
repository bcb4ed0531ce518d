/**
 * The answers of `digits-cnn`, computed with plain loops in double precision from its weights: a reference that owes
 * nothing to ONNX Runtime. Three drawn pictures and their scores are stored as the ONNX model zoo stores its test sets.
 */
import { toBinary } from '@bufbuild/protobuf'
import { TensorProtoSchema } from '../../../shared/onnx/proto/onnx_pb.ts'
import { floats } from '../../onnx/support/build.ts'
import { type DigitWeights, DIGITS, digitWeights } from './convolutional.ts'
import { drawn } from './net.ts'

type Plane = Float64Array

/** File name → content. */
export function digitSets(): Record<string, Uint8Array> {
  const weights = digitWeights()
  const files = pictures().flatMap((picture, set) => [
    [`digits-cnn_set${set}_input_0.pb`, stored('image', [1, 1, DIGITS.size, DIGITS.size], picture)],
    [`digits-cnn_set${set}_output_0.pb`, stored('scores', [1, DIGITS.classes], scoresOf(picture, weights))],
  ])
  return Object.fromEntries(files) as Record<string, Uint8Array>
}

function stored(name: string, shape: number[], values: Iterable<number>): Uint8Array {
  return toBinary(TensorProtoSchema, floats(name, shape, [...values]))
}

/** A ring, a bar and a cross on a little noise, 0 to 1. */
function pictures(): Float32Array[] {
  const { size } = DIGITS
  const strokes = [
    (x: number, y: number) => x * x + y * y > 40 && x * x + y * y < 90,
    (x: number, y: number) => Math.abs(x + y / 4) < 2 && Math.abs(y) < 10,
    (x: number, y: number) => Math.abs(x) < 9 && (Math.abs(x - y) < 2 || Math.abs(x + y) < 2),
  ]
  return strokes.map((stroke, set) =>
    drawn(`digits-cnn/picture${set}`, size * size, 0.1).map((noise, at) => {
      const inked = stroke((at % size) - size / 2, Math.floor(at / size) - size / 2)
      return Math.max(0, noise + (inked ? 0.9 : 0))
    }),
  )
}

function scoresOf(picture: Float32Array, weights: DigitWeights): number[] {
  const { size, channels1, channels2, classes } = DIGITS
  const first = convolve([Float64Array.from(picture)], size, weights.kernel1, weights.bias1, channels1)
  const pooled = first.map((plane) => pool(plane, size, 2))
  const second = convolve(pooled, size / 2, weights.kernel2, weights.bias2, channels2)
  const features = second.flatMap((plane) => [...pool(plane, size / 2, 3)])
  return Array.from({ length: classes }, (_, to) =>
    features.reduce(
      (sum, feature, from) => sum + feature * (weights.dense[from * classes + to] ?? NaN),
      weights.biasDense[to] ?? NaN,
    ),
  )
}

/** Same-padded convolution, bias and ReLU on square planes. */
function convolve(
  planes: readonly Plane[],
  size: number,
  kernel: Float32Array,
  bias: Float32Array,
  channels: number,
): Plane[] {
  const width = DIGITS.kernel
  const reach = (width - 1) / 2
  return Array.from({ length: channels }, (_, to) =>
    new Float64Array(size * size).map((_, at) => {
      const [row, column] = [Math.floor(at / size), at % size]
      let sum = bias[to] ?? NaN
      for (const [from, plane] of planes.entries())
        for (let i = 0; i < width; i++)
          for (let j = 0; j < width; j++) {
            const [y, x] = [row + i - reach, column + j - reach]
            if (y < 0 || x < 0 || y >= size || x >= size) continue
            const weight = kernel[((to * planes.length + from) * width + i) * width + j] ?? NaN
            sum += weight * (plane[y * size + x] ?? NaN)
          }
      return Math.max(0, sum)
    }),
  )
}

/** The largest of every `step` by `step` cells; cells beyond the last whole window are left out. */
function pool(plane: Plane, size: number, step: number): Plane {
  const out = Math.floor(size / step)
  return new Float64Array(out * out).map((_, at) => {
    const [row, column] = [Math.floor(at / out) * step, (at % out) * step]
    let largest = Number.NEGATIVE_INFINITY
    for (let i = 0; i < step; i++)
      for (let j = 0; j < step; j++) largest = Math.max(largest, plane[(row + i) * size + column + j] ?? NaN)
    return largest
  })
}
