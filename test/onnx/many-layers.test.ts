/** Networks of very many layers: what is looked at of all of them, and what is said where it is not. */
import { describe, expect, it } from 'vitest'
import { inferTypes } from '../../shared/onnx/canonical/infer-shapes.ts'
import { canonicalise } from '../../shared/onnx/canonical/canonicalise.ts'
import { loadGraph } from '../../shared/onnx/canonical/working-graph.ts'
import { buildBoundaries } from '../../shared/onnx/structure/boundaries.ts'
import { checkOptimisations } from '../../shared/onnx/structure/check-optimisations.ts'
import { findFusions } from '../../shared/onnx/structure/fusion.ts'
import { buildLayers, specOf } from '../../shared/onnx/structure/layers.ts'
import { optimise } from '../../shared/onnx/canonical/runtime-optimised.ts'
import type { ModelProto, NodeProto } from '../../shared/onnx/proto/onnx_pb.ts'
import { floats, ints, model, node, real, value } from './support/build.ts'
import { fileOf } from './support/models.ts'

const [x, y] = [value('x', [2, 8]), value('y', undefined)]

/** Cuts as the optimiser judges them, without a run. */
async function checked(given: ModelProto) {
  const at = fileOf(given)
  const canonical = await canonicalise(at.dir, at.file, undefined)
  const none = new Map<string, number>()
  const { layers } = buildLayers(canonical, none)
  const inputs = canonical.graph.inputs.map((input) => specOf(input, input.name, none))
  const outputs = canonical.graph.outputs.map((name) => specOf(canonical.types.get(name), name, none))
  const optimised = await optimise(canonical)
  const boundaries = buildBoundaries({ layers, inputs, outputs }, findFusions(canonical, optimised))
  return checkOptimisations(canonical, boundaries, optimised)
}

/** `count` layers from `from`, named `${prefix}0` and so on. */
const chain = (
  count: number,
  from: string,
  prefix: string,
  layer: (index: number, from: string, to: string) => NodeProto,
): NodeProto[] =>
  Array.from({ length: count }, (_, index) =>
    layer(index, index === 0 ? from : `${prefix}${index - 1}`, `${prefix}${index}`),
  )

const alternately = (index: number, from: string, to: string) =>
  node(index % 2 === 0 ? 'Relu' : 'Neg', [from], [to])

/** Apart from what comes before, its layers become a Gelu, which in the whole they are not. */
const halfGelu = (from: string) => [
  node('Mul', [from, 'z'], ['h']),
  node('Div', ['h', 'root'], ['d']),
  node('Erf', ['d'], ['e']),
  node('Add', ['e', 'one'], ['a']),
  node('Mul', ['h', 'a'], ['m']),
  node('Mul', ['m', 'half'], ['g']),
]

describe('the cuts of very many layers', () => {
  it('are all compared where the layers are of few kinds, and the one that changes an optimisation is found', async () => {
    const before = chain(700, 'x', 'b', alternately)
    const after = chain(700, 'g', 'c', alternately)
    const { boundaries, warnings } = await checked(
      model({
        nodes: [...before, ...halfGelu('b699'), ...after, node('Neg', ['c699'], ['y'])],
        inputs: [x, value('z', [2, 8])],
        outputs: [y],
        constants: [floats('root', [], [Math.SQRT2]), floats('one', [], [1]), floats('half', [], [0.5])],
      }),
    )
    expect(warnings).toEqual([])
    const changing = boundaries.filter(({ why }) => why?.includes('optimises in another way'))
    expect(changing).toMatchObject([{ k: 701, why: expect.stringMatching(/Gelu instead of/) }])
  })

  it('are compared in part where the kinds are very many, and the user is told how many are not', async () => {
    const alpha = (index: number) => real((index + 1) / 1000)
    const { boundaries, warnings } = await checked(
      model({
        nodes: [
          ...chain(500, 'x', 'b', (index, from, to) =>
            node('LeakyRelu', [from], [to], { alpha: alpha(index) }),
          ),
          node('Neg', ['b499'], ['y']),
        ],
        inputs: [x],
        outputs: [y],
      }),
    )
    expect(boundaries.every(({ clean }) => clean)).toBe(true)
    expect(warnings).toEqual([
      'what ONNX Runtime optimises was not compared for 125 of 500 cuts, to bound the time of the analysis',
    ])
  })

  it('are not alike if constants make the difference', async () => {
    // Of two products of a Gelu's form, one has another root.
    const gelu = (from: string, to: string, root: string) => [
      node('Mul', [from, 'z'], [`${to}h`]),
      node('Div', [`${to}h`, root], [`${to}d`]),
      node('Erf', [`${to}d`], [`${to}e`]),
      node('Add', [`${to}e`, 'one'], [`${to}a`]),
      node('Mul', [`${to}h`, `${to}a`], [`${to}m`]),
      node('Mul', [`${to}m`, 'half'], [to]),
    ]
    const { boundaries } = await checked(
      model({
        nodes: [
          node('Relu', ['x'], ['r']),
          ...gelu('r', 'p', 'two'),
          ...chain(30, 'p', 'b', alternately),
          ...gelu('b29', 'q', 'root'),
          node('Neg', ['q'], ['y']),
        ],
        inputs: [x, value('z', [2, 8])],
        outputs: [y],
        constants: [
          floats('root', [], [Math.SQRT2]),
          floats('two', [], [2]),
          floats('one', [], [1]),
          floats('half', [], [0.5]),
        ],
      }),
    )
    const changing = boundaries.filter(({ why }) => why?.includes('optimises in another way'))
    expect(changing.map(({ k }) => k)).toEqual([38])
  })
})

describe('the types of very many tensors', () => {
  /** A size is computed from another one after `before` layers, and used a little later. */
  const typesOf = async (before: number, after: number) => {
    const last = `b${before - 1}`
    const nodes = [
      ...chain(before, 'x', 'b', alternately),
      node('Shape', [last], ['sizes']),
      node('Identity', [last], ['same']),
      node('Reshape', ['same', 'sizes'], ['flat']),
      node('SequenceConstruct', ['flat', 'flat'], ['both']),
      node('SequenceAt', ['both', 'first'], ['one of them']),
      ...chain(after, 'flat', 'c', alternately),
      node('Neg', [`c${after - 1}`], ['y']),
      node('Add', ['one of them', 'y'], ['z']),
    ]
    const constants = [ints('first', [0], [])]
    const words = { nodes, inputs: [x], outputs: [y, value('z', undefined)], constants }
    const at = fileOf(model(words))
    const types = await inferTypes(loadGraph(at.dir, at.file, undefined))
    expect(nodes.flatMap(({ output }) => output).filter((name) => !types.has(name))).toEqual([])
    const told = ['sizes', 'same', 'flat', 'both', 'one of them', 'c0', 'y', 'z']
    return told.map((name) => types.get(name))
  }

  it('are found in several sessions as in one, also where a size is computed in one and used in the next', async () => {
    const inOne = await typesOf(10, 10)
    expect(inOne[2]?.shape).toEqual([2, 8])
    // Of the nodes in the middle, the first session has two, or none.
    for (const before of [3998, 4000])
      expect(await typesOf(before, 4500), `after ${before} layers`).toEqual(inOne)
  })
})
