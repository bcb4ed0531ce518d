/** Names: those that bodies hide, repeat or pass on, those of operators in other domains, and odd ones. */
import { create } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import {
  FunctionProtoSchema,
  type NodeProto,
  OperatorSetIdProtoSchema,
} from '../../shared/onnx/proto/onnx_pb.ts'
import { DataType, floats, graph, ints, model, node, tensorOf, value } from './support/build.ts'
import { analysed, fileOf } from './support/models.ts'
import { operators, piecewise } from './support/run.ts'

const x = value('x', [2, 3])
const y = value('y', undefined)
const yes = tensorOf('yes', [], DataType.BOOL, Uint8Array.of(1))
const loopInputs = (state: string) => [
  value('i', [], DataType.INT64),
  value('go', [], DataType.BOOL),
  value(state, [2, 3]),
]
const go = node('Identity', ['go'], ['go_on'])

describe('names in bodies', () => {
  it('do not catch the constant behind an alias that is read there', async () => {
    const body = graph({
      nodes: [go, node('Mul', ['w', 'alias'], ['next'])],
      inputs: loopInputs('w'),
      outputs: [value('go_on', [], DataType.BOOL), value('next', [2, 3])],
    })
    await piecewise(
      model({
        nodes: [
          node('Identity', ['w'], ['alias']),
          node('Add', ['x', 'w'], ['sum']),
          node('Loop', ['count', '', 'sum'], ['looped'], { body }),
          node('Tanh', ['looped'], ['y']),
        ],
        inputs: [x],
        outputs: [y],
        constants: [floats('w', [2, 3]), ints('count', [2], [])],
      }),
    )
  })

  it('do not mix when branches with the same names take the place of their Ifs', async () => {
    const branches = (from: string) => {
      const body = graph({
        nodes: [go, node('Add', ['state', 'inner'], ['inner_'])],
        inputs: loopInputs('state'),
        outputs: [value('go_on', [], DataType.BOOL), value('inner_', [2, 3])],
      })
      const then = [
        node('Mul', [from, from], ['inner']),
        node('Loop', ['count', '', from], ['looped'], { body }),
        node('Sub', ['looped', 'inner'], ['out']),
      ]
      const other = [node('Neg', [from], ['e'])]
      return {
        then_branch: graph({ nodes: then, outputs: [value('out', [2, 3])] }),
        else_branch: graph({ nodes: other, outputs: [value('e', [2, 3])] }),
      }
    }
    const analysis = await piecewise(
      model({
        nodes: [
          node('If', ['yes'], ['a'], branches('x')),
          node('Relu', ['a'], ['h']),
          node('If', ['yes'], ['b'], branches('h')),
          node('Sub', ['a', 'b'], ['y']),
        ],
        inputs: [x],
        outputs: [y],
        constants: [yes, ints('count', [2], [])],
      }),
    )
    expect(operators(analysis)).toEqual(['Mul', 'Loop', 'Sub', 'Relu', 'Mul', 'Loop', 'Sub', 'Sub'])
  })

  it('may repeat in branches side by side, at any depth', async () => {
    const choice = (op: string, inner: string) => {
      const branch = (last: string) =>
        graph({
          nodes: [node(op, ['h'], [inner]), node(last, [inner], ['out'])],
          outputs: [value('out', [2, 3])],
        })
      return { then_branch: branch('Abs'), else_branch: branch('Neg') }
    }
    const outer = (op: string) =>
      graph({
        nodes: [node('If', ['flag'], ['z'], choice(op, 'inner')), node('Exp', ['z'], ['o'])],
        outputs: [value('o', [2, 3])],
      })
    const analysis = await piecewise(
      model({
        nodes: [
          node('Relu', ['x'], ['h']),
          node('If', ['yes'], ['a'], { then_branch: outer('Tanh'), else_branch: outer('Sigmoid') }),
          node('If', ['yes'], ['b'], { then_branch: outer('Sigmoid'), else_branch: outer('Tanh') }),
          node('Add', ['a', 'b'], ['y']),
        ],
        inputs: [x, value('flag', [], DataType.BOOL)],
        outputs: [y],
        constants: [yes],
      }),
    )
    expect(operators(analysis)).toEqual(['Relu', 'If', 'Exp', 'If', 'Exp', 'Add'])
  })
})

describe('operators of other domains', () => {
  const rename = (op: string, inputs: string[], outputs: string[]) =>
    node(op, inputs, outputs, {}, { domain: 'mine' })
  const define = (name: string, input: string[], output: string[], nodes: NodeProto[]) =>
    create(FunctionProtoSchema, {
      name,
      domain: 'mine',
      input,
      output,
      node: nodes,
      opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: 17n })],
    })

  it('are not those of ONNX with the same names', async () => {
    const given = model({
      nodes: [
        rename('Identity', ['c'], ['c2']),
        node('Add', ['x', 'c2'], ['h']),
        rename('Dropout', ['h'], ['d', 'mask']),
        rename('Shape', ['d'], ['size']),
        rename('If', ['d'], ['chosen']),
        node('Div', ['chosen', 'size'], ['y']),
      ],
      inputs: [x],
      outputs: [y],
      constants: [floats('c', [3])],
    })
    given.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'mine', version: 1n }))
    given.functions = [
      define('Identity', ['a'], ['b'], [node('Add', ['a', 'a'], ['b'])]),
      define('Dropout', ['a'], ['b', 'm'], [node('Neg', ['a'], ['b']), node('Exp', ['a'], ['m'])]),
      define(
        'Shape',
        ['a'],
        ['b'],
        [
          node('Shape', ['a'], ['s']),
          node('Cast', ['s'], ['f'], { to: BigInt(DataType.FLOAT) }),
          node('ReduceProd', ['f'], ['b']),
        ],
      ),
      define('If', ['a'], ['b'], [node('Abs', ['a'], ['b'])]),
    ]
    const analysis = await piecewise(given)
    expect(operators(analysis)).toEqual(['Add', 'mine::Dropout', 'mine::Shape', 'mine::If', 'Div'])
    expect(analysis.structure.layers[1]?.macs).toBeNull()
  })
})

describe('outputs with a meaning', () => {
  it('stay, although nothing reads them: those of a normalisation with the statistics of the batch', async () => {
    const analysis = await piecewise(
      model({
        nodes: [
          node('BatchNormalization', ['x', 's', 'b', 'm', 'v'], ['n', 'mean', 'variance'], {
            training_mode: 1,
          }),
          node('Relu', ['n'], ['y']),
        ],
        inputs: [value('x', [2, 3, 4, 4])],
        outputs: [y],
        constants: ['s', 'b', 'm', 'v'].map((name) => floats(name, [3], [1, 2, 3])),
      }),
    )
    expect(operators(analysis)).toEqual(['BatchNormalization', 'Relu'])
  })
})

describe('a tensor called __proto__', () => {
  const through = (input: string, inner: string, output: string) =>
    model({
      nodes: [node('Relu', [input], [inner]), node('Neg', [inner], [output])],
      inputs: [value(input, [2, 3])],
      outputs: [value(output, [2, 3])],
    })

  it('crosses boundaries under another name, because JavaScript cannot hand it out', async () => {
    const analysis = await piecewise(through('x', '__proto__', 'y'))
    expect(analysis.structure.boundaries[1]?.tensors).toEqual(['__proto___'])
  })

  it('may be an input', async () => {
    const analysis = await piecewise(through('__proto__', 'h', 'y'))
    expect(analysis.structure.boundaries[0]?.tensors).toEqual(['__proto__'])
  })

  it('is refused as an output of a model', async () => {
    await expect(analysed(fileOf(through('x', 'h', '__proto__')))).rejects.toThrow(
      'the graph output "__proto__" has a name',
    )
  })
})
