/**
 * MobileNetV2, width 1.0: inverted residuals with linear bottlenecks.
 * Source: Sandler et al. 2018, "MobileNetV2", table 2; details as in keras.applications.mobilenet_v2.
 */
import { channels, type Feature, GraphBuilder, heightOf } from './builder.ts'
import type { ZooGraph } from './graph.ts'
import { padForStride2 } from './window.ts'

/** Rows of table 2: expansion, output channels, repetitions, stride of the first. */
const STAGES = [
  [1, 16, 1, 1],
  [6, 24, 2, 2],
  [6, 32, 3, 2],
  [6, 64, 4, 2],
  [6, 96, 3, 1],
  [6, 160, 3, 2],
  [6, 320, 1, 1],
] as const

interface Block {
  id: number
  expansion: number
  filters: number
  stride: number
}

export function mobileNetV2(): ZooGraph {
  const g = new GraphBuilder('mobilenetv2', 224)
  let x = g.pad(g.input, 'Conv1_pad', padForStride2(224, 3))
  x = g.conv(x, 'Conv1', { filters: 32, kernel: 3, stride: 2 })
  x = g.relu6(g.batchNorm(x, 'bn_Conv1'), 'Conv1_relu')
  let id = 0
  for (const [expansion, filters, repetitions, stride] of STAGES) {
    for (let repetition = 0; repetition < repetitions; repetition++) {
      x = invertedResidual(g, x, { id: id++, expansion, filters, stride: repetition === 0 ? stride : 1 })
    }
  }
  x = g.conv(x, 'Conv_1', { filters: 1280, kernel: 1 })
  x = g.relu6(g.batchNorm(x, 'Conv_1_bn'), 'out_relu')
  return g.classify(x, 'global_average_pooling2d')
}

function invertedResidual(
  g: GraphBuilder,
  input: Feature,
  { id, expansion, filters, stride }: Block,
): Feature {
  const prefix = id === 0 ? 'expanded_conv' : `block_${id}`
  let x = input
  if (expansion > 1) {
    x = g.conv(x, `${prefix}_expand`, { filters: expansion * channels(x), kernel: 1 })
    x = g.relu6(g.batchNorm(x, `${prefix}_expand_BN`), `${prefix}_expand_relu`)
  }
  if (stride === 2) x = g.pad(x, `${prefix}_pad`, padForStride2(heightOf(x), 3))
  x = g.depthwise(x, `${prefix}_depthwise`, { kernel: 3, stride, padding: stride === 2 ? 'valid' : 'same' })
  x = g.relu6(g.batchNorm(x, `${prefix}_depthwise_BN`), `${prefix}_depthwise_relu`)
  x = g.conv(x, `${prefix}_project`, { filters, kernel: 1 })
  x = g.batchNorm(x, `${prefix}_project_BN`)
  return stride === 1 && channels(input) === filters ? g.add(input, x, `${prefix}_add`) : x
}
