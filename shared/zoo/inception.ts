/** Parts shared by InceptionV3 and InceptionResNetV2: the basic convolution, chains of it, and the stem. */
import type { Feature, GraphBuilder } from './builder.ts'
import type { Extent, Padding } from './window.ts'

/** Filters and kernel of one convolution; stride 1 and `same` padding by default. */
type Step = readonly [filters: number, kernel: Extent, options?: { stride?: number; padding?: Padding }]

/** The step that halves height and width, as the pool beside it does. */
export const HALVE = { stride: 2, padding: 'valid' } as const

/** Convolution without bias, BatchNormalization without gamma, ReLU; once for each step. */
export function chain(g: GraphBuilder, input: Feature, ...steps: readonly Step[]): Feature {
  let x = input
  for (const [filters, kernel, { stride = 1, padding = 'same' } = {}] of steps) {
    x = g.conv(x, g.numbered('conv2d'), { filters, kernel, stride, padding })
    x = g.batchNorm(x, g.numbered('batch_normalization'), { scale: false })
    x = g.relu(x, g.numbered('activation'))
  }
  return x
}

/** 299 x 299 x 3 → 35 x 35 x 192 */
export function stem(g: GraphBuilder): Feature {
  let x = chain(g, g.input, [32, 3, HALVE], [32, 3, { padding: 'valid' }], [64, 3])
  x = halvingPool(g, x)
  x = chain(g, x, [80, 1, { padding: 'valid' }], [192, 3, { padding: 'valid' }])
  return halvingPool(g, x)
}

export function halvingPool(g: GraphBuilder, x: Feature): Feature {
  return g.maxPool(x, g.numbered('max_pooling2d'), { kernel: 3, stride: 2 })
}

/** Average over 3 x 3 neighbours, then a 1 x 1 convolution. */
export function poolBranch(g: GraphBuilder, x: Feature, filters: number): Feature {
  const options = { kernel: 3, padding: 'same' } as const
  return chain(g, g.averagePool(x, g.numbered('average_pooling2d'), options), [filters, 1])
}

/** Four branches at 35 x 35: one, two and three convolutions, and a pool. */
export function mixed35(
  g: GraphBuilder,
  x: Feature,
  name: string,
  plainFilters: number,
  poolFilters: number,
): Feature {
  const plain = chain(g, x, [plainFilters, 1])
  const wide = chain(g, x, [48, 1], [64, 5])
  const double = chain(g, x, [64, 1], [96, 3], [96, 3])
  return g.concat([plain, wide, double, poolBranch(g, x, poolFilters)], name)
}
