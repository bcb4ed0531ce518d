/**
 * Xception: separable convolutions with shortcuts. Source: Chollet 2016, "Xception", figure 5; names as in
 * keras.applications.xception.
 */
import { type Feature, GraphBuilder } from './builder.ts'
import type { ZooGraph } from './graph.ts'

const MIDDLE_FILTERS = 728

export function xception(): ZooGraph {
  const g = new GraphBuilder('xception', 299)
  let x = g.conv(g.input, 'block1_conv1', { filters: 32, kernel: 3, stride: 2 })
  x = g.relu(g.batchNorm(x, 'block1_conv1_bn'), 'block1_conv1_act')
  x = g.conv(x, 'block1_conv2', { filters: 64, kernel: 3 })
  x = g.relu(g.batchNorm(x, 'block1_conv2_bn'), 'block1_conv2_act')
  x = shrink(g, x, { name: 'block2', filters: [128, 128], activeInput: true })
  x = shrink(g, x, { name: 'block3', filters: [256, 256] })
  x = shrink(g, x, { name: 'block4', filters: [MIDDLE_FILTERS, MIDDLE_FILTERS] })
  for (let block = 5; block <= 12; block++) x = middle(g, x, `block${block}`)
  x = shrink(g, x, { name: 'block13', filters: [MIDDLE_FILTERS, 1024] })
  x = g.relu(separable(g, x, 'block14_sepconv1', 1536), 'block14_sepconv1_act')
  x = g.relu(separable(g, x, 'block14_sepconv2', 2048), 'block14_sepconv2_act')
  return g.classify(x, 'avg_pool')
}

interface Shrink {
  name: string
  filters: readonly [number, number]
  /** True if the input already went through an activation. */
  activeInput?: boolean
}

/** Two separable convolutions and a pool that halves the size, beside a 1 x 1 convolution that does too. */
function shrink(g: GraphBuilder, input: Feature, { name, filters, activeInput = false }: Shrink): Feature {
  const wide = g.conv(input, g.numbered('conv2d'), {
    filters: filters[1],
    kernel: 1,
    stride: 2,
    padding: 'same',
  })
  const shortcut = g.batchNorm(wide, g.numbered('batch_normalization'))
  let x = activeInput ? input : g.relu(input, `${name}_sepconv1_act`)
  x = separable(g, x, `${name}_sepconv1`, filters[0])
  x = separable(g, g.relu(x, `${name}_sepconv2_act`), `${name}_sepconv2`, filters[1])
  x = g.maxPool(x, `${name}_pool`, { kernel: 3, stride: 2, padding: 'same' })
  return g.add(x, shortcut, g.numbered('add'))
}

/** Three separable convolutions beside the input itself. */
function middle(g: GraphBuilder, input: Feature, name: string): Feature {
  let x = input
  for (let conv = 1; conv <= 3; conv++) {
    x = separable(g, g.relu(x, `${name}_sepconv${conv}_act`), `${name}_sepconv${conv}`, MIDDLE_FILTERS)
  }
  return g.add(x, input, g.numbered('add'))
}

function separable(g: GraphBuilder, x: Feature, name: string, filters: number): Feature {
  return g.batchNorm(g.separable(x, name, { filters, kernel: 3, padding: 'same' }), `${name}_bn`)
}
