/**
 * The reference network: small, always the same, of the operators that real networks spend their time in. Its time, now
 * and then, tells how the speed of a machine moves (services/inference/pace).
 */
import { REFERENCE_INPUT, REFERENCE_NETWORK } from '../contracts/pace-network.ts'
import { GraphBuilder } from './builder.ts'
import type { ZooGraph } from './graph.ts'

/** 55 million multiply-accumulates and 1 MB of weights: a millisecond on one core of a server, 10 on a small board. */
export function referenceNetwork(): ZooGraph {
  const g = new GraphBuilder(REFERENCE_NETWORK, REFERENCE_INPUT[2])
  let x = g.conv(g.input, 'conv_1', { filters: 32, kernel: 3, stride: 2, activation: 'relu' })
  x = g.relu(g.separable(x, 'separable_1', { filters: 64, kernel: 3 }), 'relu_1')
  x = g.conv(x, 'conv_2', { filters: 64, kernel: 3, stride: 2, activation: 'relu' })
  x = g.relu(g.separable(x, 'separable_2', { filters: 128, kernel: 3 }), 'relu_2')
  x = g.conv(x, 'conv_3', { filters: 64, kernel: 3, activation: 'relu' })
  x = g.conv(x, 'conv_4', { filters: 128, kernel: 1, activation: 'relu' })
  x = g.globalAveragePool(x, 'pool')
  return g.build(g.dense(x, 'dense', { units: 1000, activation: 'softmax' }))
}
