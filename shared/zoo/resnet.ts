/**
 * ResNet, version 1 (activation after the sum) and version 2 (before the convolutions).
 * Source: He et al. 2015, "Deep Residual Learning", table 1, and He et al. 2016, "Identity Mappings in Deep
 * Residual Networks"; details as in keras.applications.resnet and resnet_v2 (which stride in the first 1 x 1
 * convolution of version 1, and at the end of a stack in version 2).
 */
import { type Feature, GraphBuilder } from './builder.ts'
import type { ZooGraph } from './graph.ts'
import { sides } from './window.ts'

/** Blocks in the stacks conv2 to conv5. */
const DEPTHS = { 50: [3, 4, 6, 3], 101: [3, 4, 23, 3], 152: [3, 8, 36, 3] } as const
type Depth = keyof typeof DEPTHS

const norm = { epsilon: 1.001e-5 }

interface Block {
  name: string
  /** 0 to 3, for conv2 to conv5. */
  stack: number
  /** Filters of the two narrow convolutions; the block has four times as many output channels. */
  filters: number
  first: boolean
  last: boolean
}

export function resNet(depth: Depth): ZooGraph {
  const g = new GraphBuilder(`resnet${depth}`, 224)
  let x = g.pad(g.input, 'conv1_pad', sides(3))
  x = g.conv(x, 'conv1_conv', { filters: 64, kernel: 7, stride: 2, bias: true })
  x = g.relu(g.batchNorm(x, 'conv1_bn', norm), 'conv1_relu')
  x = g.maxPool(g.pad(x, 'pool1_pad', sides(1)), 'pool1_pool', { kernel: 3, stride: 2 })
  return g.classify(stacks(g, x, depth, blockV1), 'avg_pool')
}

export function resNetV2(depth: Depth): ZooGraph {
  const g = new GraphBuilder(`resnet${depth}v2`, 224)
  let x = g.pad(g.input, 'conv1_pad', sides(3))
  x = g.conv(x, 'conv1_conv', { filters: 64, kernel: 7, stride: 2, bias: true })
  x = g.pad(x, 'pool1_pad', sides(1), { beforeMaxPool: true })
  x = g.maxPool(x, 'pool1_pool', { kernel: 3, stride: 2 })
  x = stacks(g, x, depth, blockV2)
  return g.classify(g.relu(g.batchNorm(x, 'post_bn', norm), 'post_relu'), 'avg_pool')
}

function stacks(g: GraphBuilder, input: Feature, depth: Depth, write: typeof blockV1): Feature {
  let x = input
  for (const [stack, blocks] of DEPTHS[depth].entries()) {
    for (let block = 1; block <= blocks; block++) {
      const name = `conv${stack + 2}_block${block}`
      const filters = 64 * 2 ** stack
      x = write(g, x, { name, stack, filters, first: block === 1, last: block === blocks })
    }
  }
  return x
}

function blockV1(g: GraphBuilder, input: Feature, { name, stack, filters, first }: Block): Feature {
  const stride = first && stack > 0 ? 2 : 1
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

function blockV2(g: GraphBuilder, input: Feature, { name, stack, filters, first, last }: Block): Feature {
  const stride = last && stack < 3 ? 2 : 1
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
