/** Weights and attributes of the ONNX operators that slide a window or multiply by a matrix. */
import type { AttributeProto } from '../onnx/proto/onnx_pb.ts'
import type { Shape } from './graph.ts'
import { int, ints } from './graph.ts'
import type { Layer } from './layer.ts'
import type { Signal } from './signal.ts'
import { kernelBound } from './signal.ts'
import type { Window } from './window.ts'

/**
 * A kernel whose outputs have standard deviation `gain` for an input of the given signal.
 * @param fan products summed into one output. Returns the tensor's name.
 */
export function kernelWeight(
  layer: Layer,
  part: string,
  shape: Shape,
  fan: number,
  input: Signal,
  gain = 1,
): string {
  const bound = gain * kernelBound(fan, input)
  return layer.weight(part, shape, -bound, bound)
}

/** One filter per channel. Returns the tensor's name. */
export function depthwiseWeight(layer: Layer, channels: number, window: Window, input: Signal): string {
  return kernelWeight(layer, 'depthwise_kernel', [channels, 1, ...window.kernel], window.meanTaps, input)
}

export function windowAttributes({ kernel, stride, pads }: Window): AttributeProto[] {
  return [ints('kernel_shape', kernel), ints('strides', [stride, stride]), ints('pads', pads)]
}

export function convAttributes(window: Window, groups = 1): AttributeProto[] {
  return [...windowAttributes(window), int('group', groups)]
}
