/** Values that cannot be sent stay inside layers: sequences and optionals, and element types that the protocol lacks. */
import { create } from '@bufbuild/protobuf'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { stronglyConnected } from '../../shared/onnx/canonical/components.ts'
import {
  FunctionProtoSchema,
  type ModelProto,
  type NodeProto,
  OperatorSetIdProtoSchema,
} from '../../shared/onnx/proto/onnx_pb.ts'
import { DataType, floats, graph, ints, model, node, tensorOf, untyped, value } from './support/build.ts'
import { operators, piecewise } from './support/run.ts'

const x = value('x', [2, 3])
const y = value('y', undefined)
const numbers = [ints('ones', [1, 1]), ints('zero', [0], []), ints('one', [1], []), ints('axes', [0, 1])]

const words = (nodes: readonly NodeProto[]) => ({ nodes, inputs: [x], outputs: [y], constants: numbers })

/** Adds a function of the domain `test` to a model. */
function withFunction(
  given: ModelProto,
  fn: { name: string; input: string[]; output: string[]; node: NodeProto[] },
): ModelProto {
  const opsetImport = [create(OperatorSetIdProtoSchema, { domain: '', version: 17n })]
  given.functions = [...given.functions, create(FunctionProtoSchema, { ...fn, domain: 'test', opsetImport })]
  if (given.opsetImport.length === 1)
    given.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'test', version: 1n }))
  return given
}

describe('sequences', () => {
  it('are inside layers, together with what lies between their makers and their readers', async () => {
    const analysis = await piecewise(
      model(
        words([
          node('Relu', ['x'], ['h']),
          node('SplitToSequence', ['h', 'ones'], ['parts'], { axis: 0, keepdims: 1 }),
          node('SequenceAt', ['parts', 'zero'], ['first']),
          node('Neg', ['first'], ['negated']),
          node('SequenceInsert', ['parts', 'negated'], ['more']),
          node('ConcatFromSequence', ['more'], ['all'], { axis: 0 }),
          node('Abs', ['all'], ['y']),
        ]),
      ),
    )
    expect(operators(analysis)).toEqual(['Relu', 'scission::Group_0', 'Abs'])
    expect(analysis.structure.layers[1]).toMatchObject({
      inputs: ['h'],
      outputs: [{ name: 'all' }],
      macs: 0,
    })
  })

  it('that have nothing to do with each other are layers of their own', async () => {
    const around = (name: string, from: string, to: string) => [
      node('SequenceConstruct', [from, from], [`${name}s`]),
      node('ConcatFromSequence', [`${name}s`], [to], { axis: 0 }),
    ]
    const analysis = await piecewise(
      model(words([...around('a', 'x', 'h'), node('Relu', ['h'], ['k']), ...around('b', 'k', 'y')])),
    )
    expect(operators(analysis)).toEqual(['scission::Group_0', 'Relu', 'scission::Group_1'])
    expect(analysis.structure.outputs[0]).toMatchObject({ shape: [-1, 3], bytes: 8 * 3 * 4 })
  })

  it('that need each other are one layer, so that the layers form no cycle', async () => {
    const analysis = await piecewise(
      model(
        words([
          node('SplitToSequence', ['x'], ['a'], { axis: 0 }),
          node('SequenceAt', ['a', 'zero'], ['a0']),
          node('Relu', ['a0'], ['r']),
          node('SplitToSequence', ['r'], ['b'], { axis: 1 }),
          node('SequenceAt', ['b', 'zero'], ['b0']),
          node('ReduceSum', ['b0', 'axes'], ['sum'], { keepdims: 0 }),
          node('Sign', ['sum'], ['sign']),
          node('Abs', ['sign'], ['positive']),
          node('Cast', ['positive'], ['index'], { to: BigInt(DataType.INT64) }),
          node('SequenceAt', ['a', 'index'], ['a1']),
          node('SequenceAt', ['b', 'one'], ['b1']),
          node('Add', ['a1', 'b1'], ['y']),
        ]),
      ),
    )
    expect(operators(analysis)).toEqual(['scission::Group_0', 'Add'])
  })

  it('move a reader of one of their tensors behind the layer that makes it', async () => {
    const analysis = await piecewise(
      model(
        words([
          node('SplitToSequence', ['x', 'ones'], ['s'], { axis: 0 }),
          node('SequenceAt', ['s', 'zero'], ['first']),
          node('Relu', ['first'], ['early']),
          node('SequenceAt', ['s', 'one'], ['second']),
          node('Add', ['early', 'second'], ['y']),
        ]),
      ),
    )
    expect(operators(analysis)).toEqual(['scission::Group_0', 'Relu', 'Add'])
  })

  it('are found where a function returns one', async () => {
    const given = model(
      words([
        node('Halves', ['x'], ['s'], {}, { domain: 'test' }),
        node('SequenceAt', ['s', 'zero'], ['first']),
        node('Relu', ['first'], ['y']),
      ]),
    )
    const split = [node('SplitToSequence', ['a'], ['b'], { axis: 0 })]
    withFunction(given, { name: 'Halves', input: ['a'], output: ['b'], node: split })
    expect(operators(await piecewise(given))).toEqual(['scission::Group_0', 'Relu'])
  })

  it('are found where the outputs of branches have no types', async () => {
    const branch = (name: string, first: string, second: string) =>
      graph({ nodes: [node('SequenceConstruct', [first, second], [name])], outputs: [untyped(name)] })
    const given = model({
      ...words([
        node('Neg', ['x'], ['n']),
        node('If', ['flag'], ['s'], {
          then_branch: branch('t', 'x', 'n'),
          else_branch: branch('e', 'n', 'x'),
        }),
        node('SequenceAt', ['s', 'one'], ['second']),
        node('Abs', ['second'], ['y']),
      ]),
      inputs: [x, value('flag', [], DataType.BOOL)],
    })
    expect(operators(await piecewise(given))).toEqual(['Neg', 'scission::Group_0', 'Abs'])
  })

  it('are no sequences in another domain, whatever the operators are called', async () => {
    const given = model(
      words([
        node('Optional', ['x'], ['o'], {}, { domain: 'test' }),
        node('SequenceConstruct', ['o'], ['s'], {}, { domain: 'test' }),
        node('Abs', ['s'], ['y']),
      ]),
    )
    withFunction(given, { name: 'Optional', input: ['a'], output: ['b'], node: [node('Relu', ['a'], ['b'])] })
    const exp = [node('Exp', ['a'], ['b'])]
    withFunction(given, { name: 'SequenceConstruct', input: ['a'], output: ['b'], node: exp })
    expect(operators(await piecewise(given))).toEqual(['test::Optional', 'test::SequenceConstruct', 'Abs'])
  })
})

describe('element types that cannot be sent', () => {
  const quantised = (type: DataType) => ({
    nodes: [
      node('MatMul', ['x', 'w'], ['h']),
      node('QuantizeLinear', ['h', 'scale', 'point'], ['q']),
      node('DequantizeLinear', ['q', 'scale', 'point'], ['d']),
      node('Softmax', ['d'], ['y']),
    ],
    inputs: [x],
    outputs: [y],
    constants: [
      floats('w', [3, 3]),
      floats('scale', [], [0.25]),
      tensorOf('point', [], type, Uint8Array.of(0)),
    ],
  })

  it.each([
    ['float8', DataType.FLOAT8E4M3FN],
    ['int4', DataType.INT4],
    ['uint4', DataType.UINT4],
  ])('%s stays between the layers that quantise and dequantise', async (_, type) => {
    const analysis = await piecewise(model(quantised(type), 21, 10))
    expect(operators(analysis)).toEqual(['MatMul', 'scission::Group_0', 'Softmax'])
  })

  // ONNX Runtime has no kernel for these copies: it removes them.
  it('int4 may be copied: weights, and between quantising and dequantising', async () => {
    const packed = Uint8Array.from({ length: 800 }, (_, at) => at & 0x77)
    const given = quantised(DataType.INT4)
    const analysis = await piecewise(
      model(
        {
          ...given,
          nodes: [
            node('Identity', ['many'], ['alias']),
            node('DequantizeLinear', ['alias', 'scale'], ['m']),
            ...given.nodes.slice(0, 2),
            node('Identity', ['q'], ['copy']),
            node('DequantizeLinear', ['copy', 'scale', 'point'], ['d']),
            node('MatMul', ['d', 'm'], ['s']),
            node('Tanh', ['s'], ['y']),
          ],
          constants: [...given.constants, tensorOf('many', [3, 400], DataType.INT4, packed.slice(0, 600))],
        },
        21,
        10,
      ),
      undefined,
      'all',
    )
    expect(operators(analysis).at(-1)).toBe('Tanh')
  })

  it('bfloat16 stays between two casts', async () => {
    const analysis = await piecewise(
      model(
        words([
          node('Relu', ['x'], ['h']),
          node('Cast', ['h'], ['b'], { to: BigInt(DataType.BFLOAT16) }),
          node('Identity', ['b'], ['c']),
          node('Cast', ['c'], ['f'], { to: BigInt(DataType.FLOAT) }),
          node('Tanh', ['f'], ['y']),
        ]),
      ),
    )
    expect(operators(analysis)).toEqual(['Relu', 'scission::Group_0', 'Tanh'])
  })

  it('may be those of weights, also of computed ones', async () => {
    const analysis = await piecewise(
      model({
        ...words([
          node('Cast', ['w'], ['half'], { to: BigInt(DataType.BFLOAT16) }),
          node('Cast', ['half'], ['rounded'], { to: BigInt(DataType.FLOAT) }),
          node('MatMul', ['x', 'rounded'], ['h']),
          node('Relu', ['h'], ['y']),
        ]),
        constants: [floats('w', [3, 400])],
      }),
    )
    expect(operators(analysis)).toEqual(['MatMul', 'Relu'])
  })
})

it('strongly connected components are those that reach each other', () => {
  const graphs = fc.integer({ min: 1, max: 9 }).chain((count) =>
    fc.record({
      count: fc.constant(count),
      edges: fc.array(fc.tuple(fc.nat(count - 1), fc.nat(count - 1)), { maxLength: 20 }),
    }),
  )
  fc.assert(
    fc.property(graphs, ({ count, edges }) => {
      const component = stronglyConnected(count, (vertex) =>
        edges.filter(([from]) => from === vertex).map(([, to]) => to),
      )
      const reaches = Array.from({ length: count }, (_, i) => new Set([i]))
      for (let round = 0; round < count; round++)
        for (const [from, to] of edges) for (const far of reaches[to]!) reaches[from]!.add(far)
      for (let a = 0; a < count; a++)
        for (let b = 0; b < count; b++)
          expect(component[a] === component[b]).toBe(reaches[a]!.has(b) && reaches[b]!.has(a))
    }),
  )
})
