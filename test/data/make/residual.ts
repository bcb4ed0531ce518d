/** A residual and branching network, put together with the builder of the zoo and written by its writer. */
import { channels, type Feature, GraphBuilder } from '../../../shared/zoo/builder.ts'
import type { ZooGraph } from '../../../shared/zoo/graph.ts'

/** Two residual blocks, an inception block, a separable convolution: 32 x 32 pictures to 10 classes. */
export function residualCnn(): ZooGraph {
  const g = new GraphBuilder('residual-cnn', 32)
  const same = { padding: 'same' } as const
  const normalised = (x: Feature, name: string, filters: number, stride = 1): Feature =>
    g.batchNorm(g.conv(x, name, { ...same, filters, kernel: 3, stride }), `${name}_bn`)
  let x = g.relu(normalised(g.input, 'stem', 16, 2), 'stem_relu')
  for (const [block, filters] of [16, 24].entries()) {
    const name = `block${block}`
    const inner = g.relu(normalised(x, `${name}_a`, filters, block + 1), `${name}_relu`)
    const branch = normalised(inner, `${name}_b`, filters)
    const shortcut =
      filters === channels(x)
        ? x
        : g.conv(x, `${name}_shortcut`, { ...same, filters, kernel: 1, stride: block + 1 })
    x = g.relu(g.add(shortcut, branch, `${name}_sum`), `${name}_out`)
  }
  const branches: [Feature, Feature, Feature] = [
    g.conv(x, 'mixed_1x1', { ...same, filters: 8, kernel: 1, stride: 1, bias: true, activation: 'relu' }),
    g.separable(x, 'mixed_3x3', { ...same, filters: 16, kernel: 3, stride: 1 }),
    g.conv(g.averagePool(x, 'mixed_pool', { ...same, kernel: 3, stride: 1 }), 'mixed_after', {
      ...same,
      filters: 8,
      kernel: 1,
      stride: 1,
    }),
  ]
  x = g.maxPool(g.concat(branches, 'mixed'), 'pool', { ...same, kernel: 2, stride: 2 })
  const narrow = g.conv(x, 'narrow', { ...same, filters: 32, kernel: 1, stride: 1 })
  x = g.addScaled(x, narrow, 'scaled', 0.3)
  const pooled = g.globalAveragePool(g.relu6(x, 'relu6'), 'mean')
  return g.build(g.dense(pooled, 'classes', { units: 10, activation: 'softmax' }))
}
