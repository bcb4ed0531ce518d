/**
 * VGG16 and VGG19. Source: Simonyan & Zisserman 2014, "Very Deep Convolutional Networks", table 1, columns D
 * and E; names as in keras.applications.vgg16 and vgg19.
 */
import { GraphBuilder } from './builder.ts'
import type { ZooGraph } from './graph.ts'

/** Convolutions per block. */
const BLOCKS = { 16: [2, 2, 3, 3, 3], 19: [2, 2, 4, 4, 4] } as const
const FILTERS = [64, 128, 256, 512, 512] as const

export function vgg(depth: keyof typeof BLOCKS): ZooGraph {
  const g = new GraphBuilder(`vgg${depth}`, 224)
  let x = g.input
  for (const [index, filters] of FILTERS.entries()) {
    const block = `block${index + 1}`
    for (let conv = 1; conv <= BLOCKS[depth][index]!; conv++) {
      const options = { filters, kernel: 3, padding: 'same', bias: true, activation: 'relu' } as const
      x = g.conv(x, `${block}_conv${conv}`, options)
    }
    x = g.maxPool(x, `${block}_pool`, { kernel: 2, stride: 2 })
  }
  x = g.flatten(x, 'flatten')
  x = g.dense(x, 'fc1', { units: 4096, activation: 'relu' })
  x = g.dense(x, 'fc2', { units: 4096, activation: 'relu' })
  return g.build(g.dense(x, 'predictions', { units: 1000, activation: 'softmax' }))
}
