/**
 * ResNet, version 1 (activation after the sum) and version 2 (before the convolutions).
 * Source: He et al. 2015, "Deep Residual Learning", table 1, and He et al. 2016, "Identity Mappings in Deep
 * Residual Networks"; details as in keras.applications.resnet and resnet_v2 (which stride in the first 1 x 1
 * convolution of version 1, and at the end of a stack in version 2).
 */
import type { Feature } from './builder.ts'
import { GraphBuilder } from './builder.ts'
import type { ZooGraph } from './graph.ts'
import { sides } from './window.ts'

/** Blocks in the stacks conv2 to conv5. */
type Depths = readonly [number, number, number, number]
const DEPTHS = { 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3] } as const satisfies Record<
  number,
  Depths
>
export type ResNetDepth = keyof typeof DEPTHS

const EPSILON = 1.001e-5
const norm = { epsilon: EPSILON }

interface Block {
  name: string
  /** Filters of the two narrow convolutions; the block has four times as many output channels. */
  filters: number
  stride: number
  first: boolean
}

export function resNet(depth: ResNetDepth): ZooGraph {
  const g = new GraphBuilder(`resnet${depth}`, 224)
  let x = g.pad(g.input, 'conv1_pad', sides(3))
  x = g.conv(x, 'conv1_conv', { filters: 64, kernel: 7, stride: 2, bias: true })
  x = g.relu(g.batchNorm(x, 'conv1_bn', norm), 'conv1_relu')
  x = g.maxPool(g.pad(x, 'pool1_pad', sides(1)), 'pool1_pool', { kernel: 3, stride: 2 })
  for (const [stack, blocks] of DEPTHS[depth].entries()) {
    for (let block = 1; block <= blocks; block++) {
      const first = block === 1
      const name = `conv${stack + 2}_block${block}`
      x = blockV1(g, x, { name, filters: 64 * 2 ** stack, stride: first && stack > 0 ? 2 : 1, first })
    }
  }
  return g.build(classify(g, x))
}

export function resNetV2(depth: ResNetDepth): ZooGraph {
  const g = new GraphBuilder(`resnet${depth}v2`, 224)
  let x = g.pad(g.input, 'conv1_pad', sides(3))
  x = g.conv(x, 'conv1_conv', { filters: 64, kernel: 7, stride: 2, bias: true })
  x = g.pad(x, 'pool1_pad', sides(1), { beforeMaxPool: true })
  x = g.maxPool(x, 'pool1_pool', { kernel: 3, stride: 2 })
  for (const [stack, blocks] of DEPTHS[depth].entries()) {
    for (let block = 1; block <= blocks; block++) {
      const stride = block === blocks && stack < 3 ? 2 : 1
      const name = `conv${stack + 2}_block${block}`
      x = blockV2(g, x, { name, filters: 64 * 2 ** stack, stride, first: block === 1 })
    }
  }
  x = g.relu(g.batchNorm(x, 'post_bn', norm), 'post_relu')
  return g.build(classify(g, x))
}

function blockV1(g: GraphBuilder, input: Feature, { name, filters, stride, first }: Block): Feature {
  let shortcut = input
  if (first) {
    shortcut = g.conv(input, `${name}_0_conv`, { filters: 4 * filters, kernel: 1, stride, bias: true })
    shortcut = g.batchNorm(shortcut, `${name}_0_bn`, norm)
  }
  let x = g.conv(input, `${name}_1_conv`, { filters, kernel: 1, stride, bias: true })
  x = g.relu(g.batchNorm(x, `${name}_1_bn`, norm), `${name}_1_relu`)
  x = g.conv(x, `${name}_2_conv`, { filters, kernel: 3, padding: 'same', bias: true })
  x = g.relu(g.batchNorm(x, `${name}_2_bn`, norm), `${name}_2_relu`)
  x = g.conv(x, `${name}_3_conv`, { filters: 4 * filters, kernel: 1, bias: true })
  x = g.batchNorm(x, `${name}_3_bn`, norm)
  return g.relu(g.add(shortcut, x, `${name}_add`), `${name}_out`)
}

function blockV2(g: GraphBuilder, input: Feature, { name, filters, stride, first }: Block): Feature {
  const active = g.relu(g.batchNorm(input, `${name}_preact_bn`, norm), `${name}_preact_relu`)
  let shortcut = input
  if (first) shortcut = g.conv(active, `${name}_0_conv`, { filters: 4 * filters, kernel: 1, bias: true })
  else if (stride > 1) shortcut = g.maxPool(input, g.numbered('max_pooling2d'), { kernel: 1, stride })
  let x = g.conv(active, `${name}_1_conv`, { filters, kernel: 1 })
  x = g.relu(g.batchNorm(x, `${name}_1_bn`, norm), `${name}_1_relu`)
  x = g.pad(x, `${name}_2_pad`, sides(1))
  x = g.conv(x, `${name}_2_conv`, { filters, kernel: 3, stride })
  x = g.relu(g.batchNorm(x, `${name}_2_bn`, norm), `${name}_2_relu`)
  x = g.conv(x, `${name}_3_conv`, { filters: 4 * filters, kernel: 1, bias: true })
  return g.add(shortcut, x, `${name}_out`)
}

function classify(g: GraphBuilder, x: Feature): Feature {
  return g.dense(g.globalAveragePool(x, 'avg_pool'), 'predictions', { units: 1000, activation: 'softmax' })
}
