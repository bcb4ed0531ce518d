/**
 * Mean and variance of activations, estimated along the graph, so that random weights get the right scale.
 *
 * A network with random weights is useful for testing only if its output depends on its input: activations
 * must neither vanish nor explode over hundreds of layers, and the softmax must not saturate. Every kernel is
 * therefore drawn with a variance that gives its output unit variance *for the estimated second moment of its
 * input*: He's rule (He et al. 2015, "Delving Deep into Rectifiers", eq. 10) if the input is a plain ReLU,
 * and its extension to sums, concatenations and pools if it is not. The estimates treat values as Gaussian
 * and independent; they need to be right within a small factor, not exact.
 */

/** Mean and variance over all elements of a tensor, for a typical input. */
export interface Signal {
  readonly mean: number
  readonly variance: number
}

/** Output of a convolution or dense layer: weights have mean 0, and their scale makes the variance 1. */
export const UNIT_SIGNAL: Signal = { mean: 0, variance: 1 }

/** Normalised images, and the standard normal values that replace them in tests. */
export const INPUT_SIGNAL: Signal = { mean: 0, variance: 1 }

/**
 * Mean and variance of the largest of three standard normal values: 3/(2√π) and 0.5595. Neighbours in a
 * feature map are alike, so a pooling window counts as three independent values.
 */
const MAX_OF_THREE: Signal = { mean: 0.8463, variance: 0.5595 }

export function secondMoment(signal: Signal): number {
  return signal.mean ** 2 + signal.variance
}

/** The signal of max(0, x) for a Gaussian x. */
export function afterRelu({ mean, variance }: Signal): Signal {
  const deviation = Math.sqrt(variance)
  const z = mean / deviation
  const positive = normalCdf(z)
  const newMean = mean * positive + deviation * normalDensity(z)
  const moment = (mean ** 2 + variance) * positive + mean * deviation * normalDensity(z)
  return { mean: newMean, variance: moment - newMean ** 2 }
}

export function afterAdd(first: Signal, second: Signal): Signal {
  return { mean: first.mean + second.mean, variance: first.variance + second.variance }
}

export function afterScale({ mean, variance }: Signal, factor: number): Signal {
  return { mean: mean * factor, variance: variance * factor ** 2 }
}

/** A tensor made of parts of the given sizes (concatenation; padding is a part of zeros). */
export function mixture(parts: readonly { signal: Signal; size: number }[]): Signal {
  const total = parts.reduce((sum, part) => sum + part.size, 0)
  const average = (of: (signal: Signal) => number) =>
    parts.reduce((sum, part) => sum + of(part.signal) * part.size, 0) / total
  const mean = average((signal) => signal.mean)
  return { mean, variance: average(secondMoment) - mean ** 2 }
}

export function afterMaxPool({ mean, variance }: Signal): Signal {
  return {
    mean: mean + MAX_OF_THREE.mean * Math.sqrt(variance),
    variance: variance * MAX_OF_THREE.variance,
  }
}

/**
 * Half the width of the uniform distribution that gives `fan` summed products unit variance.
 *
 * Rounded to four digits, because the bytes of a model must not depend on the last bit of a platform's `exp`.
 */
export function kernelBound(fan: number, input: Signal): number {
  return Number(Math.sqrt(3 / (fan * secondMoment(input))).toPrecision(4))
}

/** Φ(z), within 1e-5: Abramowitz & Stegun, Handbook of Mathematical Functions, 26.2.16. */
function normalCdf(z: number): number {
  const t = 1 / (1 + 0.33267 * Math.abs(z))
  const upper = normalDensity(z) * (0.4361836 * t - 0.1201676 * t ** 2 + 0.937298 * t ** 3)
  return z < 0 ? upper : 1 - upper
}

function normalDensity(z: number): number {
  return Math.exp(-(z ** 2) / 2) / Math.sqrt(2 * Math.PI)
}
