/**
 * MobileNet, width 1.0. Source: Howard et al. 2017, "MobileNets", table 1; names as in
 * keras.applications.mobilenet, which classifies by a 1 x 1 convolution. Dropout does nothing at inference
 * and is left out.
 */
import { type Feature, GraphBuilder, heightOf } from './builder.ts'
import type { ZooGraph } from './graph.ts'
import { padForStride2 } from './window.ts'

/** Output channels of the depthwise separable blocks 1 to 13. */
const FILTERS = [64, 128, 128, 256, 256, 512, 512, 512, 512, 512, 512, 1024, 1024] as const
/** The blocks of stride 2. */
const HALVING = new Set([2, 4, 6, 12])

export function mobileNet(): ZooGraph {
  const g = new GraphBuilder('mobilenet', 224)
  let x = g.pad(g.input, 'conv1_pad', padForStride2(224, 3))
  x = g.conv(x, 'conv1', { filters: 32, kernel: 3, stride: 2 })
  x = g.relu6(g.batchNorm(x, 'conv1_bn'), 'conv1_relu')
  for (const [index, filters] of FILTERS.entries()) x = separableBlock(g, x, index + 1, filters)
  x = g.globalAveragePool(x, 'global_average_pooling2d')
  x = g.reshape(x, 'reshape_1', [1, 1024, 1, 1])
  x = g.conv(x, 'conv_preds', { filters: 1000, kernel: 1, bias: true })
  x = g.reshape(x, 'reshape_2', [1, 1000])
  return g.build(g.softmax(x, 'predictions'))
}

function separableBlock(g: GraphBuilder, input: Feature, id: number, filters: number): Feature {
  const stride = HALVING.has(id) ? 2 : 1
  let x = input
  if (stride === 2) x = g.pad(x, `conv_pad_${id}`, padForStride2(heightOf(x), 3))
  x = g.depthwise(x, `conv_dw_${id}`, { kernel: 3, stride, padding: stride === 2 ? 'valid' : 'same' })
  x = g.relu6(g.batchNorm(x, `conv_dw_${id}_bn`), `conv_dw_${id}_relu`)
  x = g.conv(x, `conv_pw_${id}`, { filters, kernel: 1 })
  return g.relu6(g.batchNorm(x, `conv_pw_${id}_bn`), `conv_pw_${id}_relu`)
}
