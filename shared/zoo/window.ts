/** Arithmetic of sliding windows (convolutions and pools), with Keras' rules for padding. */

/** `same`: output = ceil(input / stride), the odd cell of padding at the end. `valid`: no padding. */
export type Padding = 'same' | 'valid'

/** One number for a square, or [height, width]. */
export type Extent = number | readonly [number, number]

export interface WindowOptions {
  kernel: Extent
  /** @defaultValue 1 */
  stride?: number
  /** @defaultValue 'valid', as in Keras */
  padding?: Padding
}

/** A window resolved over a feature map. */
export interface Window {
  readonly kernel: readonly [number, number]
  readonly stride: number
  /** ONNX order: top, left, bottom, right. */
  readonly pads: readonly [number, number, number, number]
  /** Height and width of the output. */
  readonly output: readonly [number, number]
  /** Cells of the window that lie on the input rather than on padding, averaged over output positions. */
  readonly meanTaps: number
}

function pair(extent: Extent): readonly [number, number] {
  return typeof extent === 'number' ? [extent, extent] : extent
}

export function slideOver(height: number, width: number, options: WindowOptions): Window {
  const { stride = 1, padding = 'valid' } = options
  const kernel = pair(options.kernel)
  const rows = slide(height, kernel[0], stride, padding)
  const columns = slide(width, kernel[1], stride, padding)
  return {
    kernel,
    stride,
    pads: [rows.before, columns.before, rows.after, columns.after],
    output: [rows.output, columns.output],
    meanTaps: rows.meanTaps * columns.meanTaps,
  }
}

/** One axis. Source of the `same` rule: TensorFlow, tf.nn "Notes on padding". */
function slide(input: number, kernel: number, stride: number, padding: Padding) {
  const total =
    padding === 'same' ? Math.max((Math.ceil(input / stride) - 1) * stride + kernel - input, 0) : 0
  const before = Math.floor(total / 2)
  const output = Math.floor((input + total - kernel) / stride) + 1
  let taps = 0
  for (let position = 0; position < output; position++) {
    const start = position * stride - before
    taps += Math.min(start + kernel, input) - Math.max(start, 0)
  }
  return { before, after: total - before, output, meanTaps: taps / output }
}

/** Cells added or cut, per side. */
export interface Sides {
  readonly top: number
  readonly left: number
  readonly bottom: number
  readonly right: number
}

export function sides(before: number, after = before): Sides {
  return { top: before, left: before, bottom: after, right: after }
}

/**
 * The padding that Keras adds explicitly before a `valid` window of stride 2, on a square input.
 * Source: `correct_pad` of keras.applications.
 */
export function padForStride2(input: number, kernel: number): Sides {
  const half = Math.floor(kernel / 2)
  return sides(input % 2 === 0 ? half - 1 : half, half)
}
