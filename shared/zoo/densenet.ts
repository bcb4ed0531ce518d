/**
 * DenseNet with growth 32: each block's output is its input beside 32 new channels.
 * Source: Huang et al. 2016, "Densely Connected Convolutional Networks", table 1; names as in
 * keras.applications.densenet.
 */
import { channels, type Feature, GraphBuilder } from './builder.ts'
import type { ZooGraph } from './graph.ts'
import { sides } from './window.ts'

/** Blocks in conv2 to conv5. */
const BLOCKS = { 121: [6, 12, 24, 16], 169: [6, 12, 32, 32], 201: [6, 12, 48, 32] } as const
const GROWTH = 32
const norm = { epsilon: 1.001e-5 }

export function denseNet(depth: keyof typeof BLOCKS): ZooGraph {
  const g = new GraphBuilder(`densenet${depth}`, 224)
  let x = g.pad(g.input, g.numbered('zero_padding2d'), sides(3))
  x = g.conv(x, 'conv1_conv', { filters: 64, kernel: 7, stride: 2 })
  x = g.relu(g.batchNorm(x, 'conv1_bn', norm), 'conv1_relu')
  x = g.pad(x, g.numbered('zero_padding2d'), sides(1))
  x = g.maxPool(x, 'pool1', { kernel: 3, stride: 2 })
  for (const [index, blocks] of BLOCKS[depth].entries()) {
    if (index > 0) x = transition(g, x, `pool${index + 1}`)
    for (let block = 1; block <= blocks; block++) x = denseBlock(g, x, `conv${index + 2}_block${block}`)
  }
  x = g.relu(g.batchNorm(x, 'bn', norm), 'relu')
  return g.classify(x, 'avg_pool')
}

function denseBlock(g: GraphBuilder, input: Feature, name: string): Feature {
  let x = g.relu(g.batchNorm(input, `${name}_0_bn`, norm), `${name}_0_relu`)
  x = g.conv(x, `${name}_1_conv`, { filters: 4 * GROWTH, kernel: 1 })
  x = g.relu(g.batchNorm(x, `${name}_1_bn`, norm), `${name}_1_relu`)
  x = g.conv(x, `${name}_2_conv`, { filters: GROWTH, kernel: 3, padding: 'same' })
  return g.concat([input, x], `${name}_concat`)
}

/** Halves channels, height and width. */
function transition(g: GraphBuilder, input: Feature, name: string): Feature {
  let x = g.relu(g.batchNorm(input, `${name}_bn`, norm), `${name}_relu`)
  x = g.conv(x, `${name}_conv`, { filters: channels(x) / 2, kernel: 1 })
  return g.averagePool(x, `${name}_pool`, { kernel: 2, stride: 2 })
}
