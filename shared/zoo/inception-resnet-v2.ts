/**
 * InceptionResNetV2. Source: Szegedy et al. 2016, "Inception-v4, Inception-ResNet and the Impact of Residual
 * Connections", figures 15 to 19; sizes and names as in keras.applications.inception_resnet_v2 (layers
 * without a name there are numbered by type).
 */
import { channels, type Feature, GraphBuilder } from './builder.ts'
import type { ZooGraph } from './graph.ts'
import { chain, HALVE, halvingPool, mixed35, stem } from './inception.ts'

/** A residual stage: `count` blocks, each of which adds `scale` times the output of its branches. */
interface Stage {
  name: string
  count: number
  scale: number
  branches: (g: GraphBuilder, x: Feature) => [Feature, ...Feature[]]
}

const BLOCK35: Stage = {
  name: 'block35',
  count: 10,
  scale: 0.17,
  branches: (g, x) => [
    chain(g, x, [32, 1]),
    chain(g, x, [32, 1], [32, 3]),
    chain(g, x, [32, 1], [48, 3], [64, 3]),
  ],
}

const BLOCK17: Stage = {
  name: 'block17',
  count: 20,
  scale: 0.1,
  branches: (g, x) => [chain(g, x, [192, 1]), chain(g, x, [128, 1], [160, [1, 7]], [192, [7, 1]])],
}

const BLOCK8: Stage = {
  name: 'block8',
  count: 9,
  scale: 0.2,
  branches: (g, x) => [chain(g, x, [192, 1]), chain(g, x, [192, 1], [224, [1, 3]], [256, [3, 1]])],
}

export function inceptionResNetV2(): ZooGraph {
  const g = new GraphBuilder('inceptionresnetv2', 299)
  let x = residuals(g, mixed35(g, stem(g), 'mixed_5b', 96, 64), BLOCK35)
  x = residuals(g, mixed6a(g, x), BLOCK17)
  x = residuals(g, mixed7a(g, x), BLOCK8)
  x = residual(g, x, 'block8_10', { ...BLOCK8, scale: 1 })
  x = g.conv(x, 'conv_7b', { filters: 1536, kernel: 1 })
  x = g.relu(g.batchNorm(x, 'conv_7b_bn', { scale: false }), 'conv_7b_ac')
  return g.classify(x, 'avg_pool')
}

function residuals(g: GraphBuilder, input: Feature, stage: Stage): Feature {
  let x = input
  for (let block = 1; block <= stage.count; block++) {
    const name = `${stage.name}_${block}`
    x = g.relu(residual(g, x, name, stage), `${name}_ac`)
  }
  return x
}

function residual(g: GraphBuilder, x: Feature, name: string, { scale, branches }: Stage): Feature {
  const mixed = g.concat(branches(g, x), `${name}_mixed`)
  const branch = g.conv(mixed, `${name}_conv`, { filters: channels(x), kernel: 1, bias: true })
  return g.addScaled(x, branch, name, scale)
}

function mixed6a(g: GraphBuilder, x: Feature): Feature {
  const single = chain(g, x, [384, 3, HALVE])
  const double = chain(g, x, [256, 1], [256, 3], [384, 3, HALVE])
  return g.concat([single, double, halvingPool(g, x)], 'mixed_6a')
}

function mixed7a(g: GraphBuilder, x: Feature): Feature {
  const first = chain(g, x, [256, 1], [384, 3, HALVE])
  const second = chain(g, x, [256, 1], [288, 3, HALVE])
  const double = chain(g, x, [256, 1], [288, 3], [320, 3, HALVE])
  return g.concat([first, second, double, halvingPool(g, x)], 'mixed_7a')
}
