import fs from 'node:fs'
import path from 'node:path'
import { create } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { setReference, DataType, floats, graph, ints, model, node, value } from './support/build.ts'
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  FunctionProtoSchema,
  OperatorSetIdProtoSchema,
  TensorProtoSchema,
} from '../../shared/onnx/proto/onnx_pb.ts'
import { analysed, fileOf } from './support/models.ts'
import { difference, inputsOf, operators, piecewise, runFile, runPieces } from './support/run.ts'
import { writeRange } from '../../shared/onnx/index.ts'

const x = (shape: readonly number[] = [2, 3]) => value('x', shape)
const y = value('y', undefined)

describe('control flow', () => {
  const branch = (name: string, op: string, other: string) =>
    graph({ nodes: [node(op, ['h', other], [`${name}:out`])], outputs: [value(`${name}:out`, [2, 3])] }, name)

  it('is one layer, and what its bodies capture counts as its input', async () => {
    const analysis = await piecewise(
      model({
        nodes: [
          node('Relu', ['x'], ['h']),
          node('Neg', ['x'], ['k']),
          node('If', ['flag'], ['z'], {
            then_branch: branch('then', 'Add', 'k'),
            else_branch: branch('else', 'Mul', 'c'),
          }),
          node('Abs', ['z'], ['y']),
        ],
        inputs: [x(), value('flag', [], DataType.BOOL)],
        outputs: [y],
        constants: [floats('c', [3])],
      }),
    )
    expect(operators(analysis)).toEqual(['Relu', 'Neg', 'If', 'Abs'])
    expect(analysis.structure.layers[2]?.inputs.toSorted()).toEqual(['flag', 'h', 'k'])
    expect(analysis.structure.layers[2]?.weightBytes).toBe(12)
  })

  it('is replaced by the branch it takes where the condition is a constant', async () => {
    const analysis = await piecewise(
      model({
        nodes: [
          node('Relu', ['x'], ['h']),
          node('Neg', ['x'], ['k']),
          node('Shape', ['x'], ['shape']),
          node('Gather', ['shape', 'one'], ['width']),
          node('Equal', ['width', 'three'], ['flag']),
          node('If', ['flag'], ['z'], {
            then_branch: branch('then', 'Add', 'k'),
            else_branch: branch('else', 'Mul', 'k'),
          }),
          node('Abs', ['z'], ['y']),
        ],
        inputs: [x()],
        outputs: [y],
        constants: [ints('one', [1], []), ints('three', [3], [])],
      }),
    )
    expect(operators(analysis)).toEqual(['Relu', 'Neg', 'Add', 'Abs'])
  })

  it('keeps local names local, even where they hide outer ones', async () => {
    const body = graph({
      nodes: [node('Add', ['state', 'h'], ['next']), node('Identity', ['go'], ['go_on'])],
      inputs: [value('i', [], DataType.INT64), value('go', [], DataType.BOOL), value('state', [2, 3])],
      outputs: [value('go_on', [], DataType.BOOL), value('next', [2, 3])],
    })
    const analysis = await piecewise(
      model({
        nodes: [
          node('Relu', ['x'], ['h']),
          node('Loop', ['count', '', 'x'], ['z'], { body }),
          node('Neg', ['z'], ['y']),
        ],
        inputs: [x()],
        outputs: [y],
        constants: [ints('count', [3], [])],
      }),
    )
    expect(operators(analysis)).toEqual(['Relu', 'Loop', 'Neg'])
    expect(analysis.structure.layers[1]?.inputs.toSorted()).toEqual(['h', 'x'])
  })

  it('may hold large constants, which stay in the original file', async () => {
    const holding = (name: string, factor: number) =>
      graph({
        nodes: [
          node('Constant', [], [`${name}:w`], { value: floats('', [100, 50], [factor]) }),
          node('MatMul', ['h', `${name}:w`], [`${name}:out`]),
        ],
        outputs: [value(`${name}:out`, [1, 50])],
      })
    const analysis = await piecewise(
      model({
        nodes: [
          node('Relu', ['x'], ['h']),
          node('If', ['flag'], ['y'], { then_branch: holding('then', 1), else_branch: holding('else', 2) }),
        ],
        inputs: [x([1, 100]), value('flag', [], DataType.BOOL)],
        outputs: [y],
      }),
    )
    expect(analysis.structure.layers[1]?.weightBytes).toBe(2 * 20_000)
    expect(fs.statSync(path.join(analysis.dir, 'piece-1-2.onnx')).size).toBeLessThan(2000)
  })
})

/** A function with a large default attribute, and a body with a large Constant and a large initializer. */
function weighty() {
  const large = (name: string, first: number) => floats(name, [300], [first, 2, 3])
  const given = create(AttributeProtoSchema, { name: 'value', type: AttributeProto_AttributeType.TENSOR })
  const constant = node('Constant', [], ['d'])
  constant.attribute = [{ ...given, refAttrName: 'default' }]
  const sum = (from: string, to: string) => node('ReduceSum', [from], [to], { keepdims: 0 })
  const branches = {
    then_branch: graph({
      nodes: [
        node('Constant', [], ['c'], { value: large('', 4) }),
        sum('c', 'c_sum'),
        sum('w', 'w_sum'),
        node('Mul', ['c_sum', 'w_sum'], ['t']),
      ],
      outputs: [value('t', [])],
      constants: [large('w', 5)],
    }),
    else_branch: graph({ nodes: [node('Neg', ['a_sum'], ['e'])], outputs: [value('e', [])] }),
  }
  return create(FunctionProtoSchema, {
    name: 'Weighty',
    domain: 'test',
    input: ['a'],
    output: ['b'],
    attributeProto: [{ ...given, name: 'default', t: large('', 6) }],
    node: [
      constant,
      sum('d', 'd_sum'),
      sum('a', 'a_sum'),
      node('Constant', [], ['zero'], { value: floats('', [], [0]) }),
      node('Greater', ['a_sum', 'zero'], ['flag']),
      node('If', ['flag'], ['chosen'], branches),
      node('Mul', ['chosen', 'd_sum'], ['factor']),
      node('Mul', ['a', 'factor'], ['b']),
    ],
    opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: 17n })],
  })
}

describe('functions and external files', () => {
  it('go along into the pieces that use them', async () => {
    const given = model({
      nodes: [
        node('Twice', ['x'], ['h'], {}, { domain: 'test' }),
        node('Relu', ['h'], ['k']),
        node('Twice', ['k'], ['y'], {}, { domain: 'test' }),
      ],
      inputs: [x()],
      outputs: [y],
    })
    given.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'test', version: 1n }))
    given.functions = [
      create(FunctionProtoSchema, {
        name: 'Twice',
        domain: 'test',
        input: ['a'],
        output: ['b'],
        node: [node('Add', ['a', 'a'], ['b'])],
        opsetImport: [create(OperatorSetIdProtoSchema, { domain: '', version: 17n })],
      }),
    ]
    expect(operators(await piecewise(given))).toEqual(['test::Twice', 'Relu', 'test::Twice'])
  })

  it('bring the weights of functions: in default attributes, and in bodies inside', async () => {
    const given = model({
      nodes: [
        node('Abs', ['x'], ['h']),
        node('Weighty', ['h'], ['k'], {}, { domain: 'test' }),
        node('Relu', ['k'], ['y']),
      ],
      inputs: [x()],
      outputs: [y],
    })
    given.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'test', version: 1n }))
    given.functions = [weighty()]
    const analysis = await piecewise(given)
    expect(operators(analysis)).toEqual(['Abs', 'test::Weighty', 'Relu'])
    const { canonical, dir, file } = analysis
    const piece = path.join(dir, 'piece.onnx')
    await writeRange(canonical, 0, 1, piece)
    const made = await runFile(piece, inputsOf(analysis), 'disabled')
    const { extents } = await writeRange(canonical, 1, 2, piece)
    const expected = await runFile(piece, made, 'disabled')
    // A resource holds the extents of the original; what lies between them is zeros.
    const bytes = fs.readFileSync(path.join(dir, file))
    const fetched = Buffer.alloc(bytes.length)
    for (const { offset, length } of extents) bytes.copy(fetched, offset, offset, offset + length)
    fs.writeFileSync(path.join(dir, file), fetched)
    expect(difference(await runFile(piece, made, 'disabled'), expected)).toBe(0)
  })

  it('are refused where a function refers to a file that is not there', async () => {
    for (const part of ['default', 'attribute', 'initializer'] as const) {
      const given = model({ nodes: [node('Relu', ['x'], ['y'])], inputs: [x()], outputs: [y] })
      const fn = weighty()
      const then = fn.node.find(({ opType }) => opType === 'If')!.attribute[0]!.g!
      const inside = { attribute: then.node[0]!.attribute[0]!.t!, initializer: then.initializer[0]! }
      const tensor = part === 'default' ? fn.attributeProto[0]!.t! : inside[part]
      setReference(tensor, 'gone.bin', 0, tensor.rawData.length)
      tensor.rawData = new Uint8Array()
      given.functions = [fn]
      await expect(analysed(fileOf(given))).rejects.toThrow('is in the file "gone.bin", which is missing')
    }
  })

  it('hold weights that pieces point at where they are', async () => {
    const weights = floats('w', [100, 20])
    const small = floats('b', [20])
    const dir = fileOf(new Uint8Array([0])).dir
    fs.writeFileSync(
      path.join(dir, 'weights.bin'),
      Buffer.concat([Buffer.alloc(64), weights.rawData, small.rawData]),
    )
    const outside = [weights, small].map((tensor, i) => {
      const { name, dims, dataType } = tensor
      const moved = create(TensorProtoSchema, { name, dims, dataType })
      setReference(moved, 'weights.bin', i === 0 ? 64 : 64 + 8000, tensor.rawData.length)
      return moved
    })
    const words = {
      nodes: [node('MatMul', ['x', 'w'], ['h']), node('Add', ['h', 'b'], ['y'])],
      inputs: [x([1, 100])],
      outputs: [y],
    }
    const inside = await piecewise(model({ ...words, constants: [weights, small] }))
    const at = fileOf(model({ ...words, constants: outside }))
    fs.copyFileSync(path.join(dir, 'weights.bin'), path.join(at.dir, 'weights.bin'))
    const analysis = await analysed(at)
    const inputs = inputsOf(analysis)
    const got = await runPieces(analysis, [1], inputs, 'all')
    expect(difference(got, await runPieces(inside, [1], inputs, 'all'))).toBe(0)
  })
})
