/**
 * InceptionV3. Source: Szegedy et al. 2015, "Rethinking the Inception Architecture", table 1 and figures 5 to
 * 7; names as in keras.applications.inception_v3 (layers without a name there are numbered by type).
 */
import { type Feature, GraphBuilder } from './builder.ts'
import type { ZooGraph } from './graph.ts'
import { chain, HALVE, halvingPool, mixed35, poolBranch, stem } from './inception.ts'

export function inceptionV3(): ZooGraph {
  const g = new GraphBuilder('inceptionv3', 299)
  let x = stem(g)
  for (const [index, poolFilters] of [32, 64, 64].entries())
    x = mixed35(g, x, `mixed${index}`, 64, poolFilters)
  x = reduceTo17(g, x)
  for (const [index, filters] of [128, 160, 160, 192].entries())
    x = mixed17(g, x, `mixed${index + 4}`, filters)
  x = reduceTo8(g, x)
  for (const index of [0, 1]) x = mixed8(g, x, index)
  return g.classify(x, 'avg_pool')
}

function reduceTo17(g: GraphBuilder, x: Feature): Feature {
  const single = chain(g, x, [384, 3, HALVE])
  const double = chain(g, x, [64, 1], [96, 3], [96, 3, HALVE])
  return g.concat([single, double, halvingPool(g, x)], 'mixed3')
}

/** 7 x 7 convolutions, each as a row and a column. */
function mixed17(g: GraphBuilder, x: Feature, name: string, filters: number): Feature {
  const plain = chain(g, x, [192, 1])
  const single = chain(g, x, [filters, 1], [filters, [1, 7]], [192, [7, 1]])
  const double = chain(
    g,
    x,
    [filters, 1],
    [filters, [7, 1]],
    [filters, [1, 7]],
    [filters, [7, 1]],
    [192, [1, 7]],
  )
  return g.concat([plain, single, double, poolBranch(g, x, 192)], name)
}

function reduceTo8(g: GraphBuilder, x: Feature): Feature {
  const small = chain(g, x, [192, 1], [320, 3, HALVE])
  const large = chain(g, x, [192, 1], [192, [1, 7]], [192, [7, 1]], [192, 3, HALVE])
  return g.concat([small, large, halvingPool(g, x)], 'mixed8')
}

/** 3 x 3 convolutions spread over a row and a column side by side. */
function mixed8(g: GraphBuilder, x: Feature, index: number): Feature {
  const plain = chain(g, x, [320, 1])
  const single = spread(g, chain(g, x, [384, 1]), `mixed9_${index}`)
  const double = spread(g, chain(g, x, [448, 1], [384, 3]), g.numbered('concatenate'))
  return g.concat([plain, single, double, poolBranch(g, x, 192)], `mixed${index + 9}`)
}

function spread(g: GraphBuilder, x: Feature, name: string): Feature {
  return g.concat([chain(g, x, [384, [1, 3]]), chain(g, x, [384, [3, 1]])], name)
}
