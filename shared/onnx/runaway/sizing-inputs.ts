/**
 * The operators whose output size, or number of steps, is told by the values of an input: those inputs, by their place.
 *
 * Not here, because the shapes of their inputs bound them, whatever the values are: Reshape, Squeeze and Unsqueeze keep the
 * number of elements; Slice, Compress, Unique, NonZero, TopK, NonMaxSuppression, Split and Gather make no more than their
 * inputs' sizes allow; Trilu, CumSum, ReverseSequence, Scatter… and EyeLike have the shape of an input; a Scan takes as many
 * steps as its input is long; the frames of an STFT are no longer than its signal. Operators of other domains are functions of
 * the model, whose nodes are looked at, or nothing that ONNX Runtime has here.
 *
 * @see https://onnx.ai/onnx/operators/ and https://github.com/microsoft/onnxruntime/blob/main/docs/ContribOperators.md
 */
import { entryOf } from '../../platform/entry-of.ts'

const SIZING_INPUTS: Readonly<Record<string, readonly number[]>> = {
  /** Number of elements: (limit − start) / step. */
  Range: [0, 1, 2],
  /** Target shapes. */
  ConstantOfShape: [0],
  Expand: [1],
  CenterCropPad: [1],
  AffineGrid: [1],
  MaxUnpool: [2],
  Col2Im: [1],
  /** Repeats; in the first version of the operator a number and an axis. */
  Tile: [1, 2],
  /** Scales and sizes; with `tf_crop_and_resize` the region too. Before version 11 the scales are the second input. */
  Resize: [1, 2, 3],
  Upsample: [1],
  /** Widths of the border, and on which axes. */
  Pad: [1, 3],
  /** Depth, length, number of bins. */
  OneHot: [1],
  HannWindow: [0],
  HammingWindow: [0],
  BlackmanWindow: [0],
  DFT: [1],
  MelWeightMatrix: [0, 1],
  'com.microsoft::Range': [0, 1, 2],
  'com.microsoft::Pad': [1],
  'com.microsoft::CropAndResize': [3],
  'com.microsoft::ConvTransposeWithDynamicPads': [2],
  /** The length of the cache that it makes. */
  'com.microsoft::GroupQueryAttention': [6],
  'com.microsoft::SparseAttention': [7],
}

/** Operators that may go on, or grow, as their values will, whatever their inputs are. */
const UNBOUNDED: Readonly<Record<string, string>> = {
  ImageDecoder: 'makes as many pixels as its bytes say',
  'com.microsoft::BeamSearch': 'takes as many steps as its values say',
  'com.microsoft::WhisperBeamSearch': 'takes as many steps as its values say',
  'com.microsoft::GreedySearch': 'takes as many steps as its values say',
  'com.microsoft::Sampling': 'takes as many steps as its values say',
}

/** Operators whose attributes alone tell how much they make. */
const SIZED_BY_ATTRIBUTES = new Set(['RandomNormal', 'RandomUniform', 'Upsample', 'Pad', 'Tile'])

/** @param operator as `operatorOf` names it. @returns places of the inputs that tell the size of what it makes. */
export const sizingInputsOf = (operator: string): readonly number[] => entryOf(SIZING_INPUTS, operator) ?? []

/** Why an operator may run away whatever its inputs are; undefined for all others. */
export const whyUnbounded = (operator: string): string | undefined => entryOf(UNBOUNDED, operator)

export const isSizedByAttributes = (operator: string): boolean => SIZED_BY_ATTRIBUTES.has(operator)
