import fs from 'node:fs'
import path from 'node:path'
import { create } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { setReference, DataType, floats, graph, ints, model, node, tensorOf, value } from './support/build.ts'
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  FunctionProtoSchema,
  type NodeProto,
  NodeProtoSchema,
  OperatorSetIdProtoSchema,
  SparseTensorProtoSchema,
  TensorProtoSchema,
} from '../../shared/onnx/proto/onnx_pb.ts'
import { analysed, fileOf } from './support/models.ts'
import { difference, inputsOf, operators, piecewise, runFile, runPieces } from './support/run.ts'
import { describeModel, readSkeleton, writeRange } from '../../shared/onnx/index.ts'

const x = (shape: readonly number[] = [2, 3]) => value('x', shape)
const y = value('y', undefined)

const fn = (name: string, ...nodes: NodeProto[]) =>
  create(FunctionProtoSchema, {
    name,
    domain: 'test',
    input: ['a'],
    output: ['b'],
    node: nodes,
    opsetImport: ['', 'test'].map((domain) => create(OperatorSetIdProtoSchema, { domain, version: 17n })),
  })
const call = (name: string, from: string, to: string) => node(name, [from], [to], {}, { domain: 'test' })

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
    expect(analysis.structure.layers.map(({ branches }) => branches)).toEqual([undefined, true, undefined])
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

  it('are carried by the pieces that call them, directly, in a body or by way of another function', async () => {
    const large = node('Constant', [], ['w'], { value: floats('', [2000, 3]) })
    const mean = node('ReduceMean', ['w'], ['m'], { axes: [0], keepdims: 0 })
    const branch = (name: string, inner: NodeProto) =>
      graph({ nodes: [inner], outputs: [value(name, [2, 3])] })
    const other = call('Chosen', 'a', 'b')
    other.overload = 'other'
    const given = model(
      {
        nodes: [
          call('Outer', 'x', 'h'),
          node('Relu', ['h'], ['k']),
          node('If', ['flag'], ['z'], {
            then_branch: branch('t', call('Inner', 'k', 't')),
            else_branch: branch('e', node('Neg', ['k'], ['e'])),
          }),
          node('Sigmoid', ['z'], ['s']),
          create(NodeProtoSchema, { ...other, input: ['s'], output: ['y'] }),
        ],
        inputs: [x(), value('flag', [], DataType.BOOL)],
        outputs: [y],
      },
      17,
      10,
    )
    given.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'test', version: 17n }))
    const chosen = fn('Chosen', node('Abs', ['a'], ['b']))
    chosen.overload = 'other'
    given.functions = [
      fn('Outer', call('Inner', 'a', 't'), node('Tanh', ['t'], ['b'])),
      fn('Inner', large, mean, node('Add', ['a', 'm'], ['b'])),
      fn('Chosen', node('Neg', ['a'], ['b'])),
      chosen,
      fn('Unused', node('Neg', ['a'], ['b'])),
    ]
    const { canonical, dir, structure } = await piecewise(given)
    const pieces = [0, 1, 2, 3, 4].map(async (layer) => {
      const file = path.join(dir, `one-${layer}.onnx`)
      const { extents } = await writeRange(canonical, layer, layer + 1, file)
      const { functions } = readSkeleton(file).model
      return {
        functions: functions.map(({ name }) => name).sort(),
        extents: extents.map(({ length }) => length),
      }
    })
    const heavy = [2000 * 3 * 4]
    expect(await Promise.all(pieces)).toEqual([
      { functions: ['Inner', 'Outer'], extents: heavy },
      { functions: [], extents: [] },
      { functions: ['Inner'], extents: heavy },
      { functions: [], extents: [] },
      { functions: ['Chosen_other'], extents: [] },
    ])
    // The weight stays in the original's file, and counts in each layer that uses it, but once in the model.
    expect(fs.statSync(path.join(dir, 'one-0.onnx')).size).toBeLessThan(2000)
    expect(structure.layers.map(({ weightBytes }) => weightBytes)).toEqual([24_000, 0, 24_000, 0, 0])
    expect(structure.weightBytes).toBe(24_000)
  })

  /** `Block` calls an overload of itself. ONNX Runtime would take that for a call of `Block` in `Block`, without an end. */
  function nested(inner: { name: string; overload: string }) {
    const other = call(inner.name, 'a', 't')
    if (inner.overload !== '') other.overload = inner.overload
    const given = model(
      { nodes: [call('Block', 'x', 'h'), node('Relu', ['h'], ['y'])], inputs: [x()], outputs: [y] },
      17,
      10,
    )
    given.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'test', version: 17n }))
    const called = fn(inner.name, node('Sin', ['a'], ['b']))
    called.overload = inner.overload
    given.functions = [fn('Block', other, node('Neg', ['t'], ['b'])), called]
    return fileOf(given)
  }

  it('an overload may be called from inside the function of its name', async () => {
    const analysis = await analysed(nested({ name: 'Block', overload: 'light' }))
    expect(analysis.structure.warnings).toEqual([expect.stringContaining('overloads of a function')])
    const twin = nested({ name: 'Light', overload: '' })
    const inputs = inputsOf(analysis)
    const wanted = await runFile(path.join(twin.dir, twin.file), inputs, 'disabled')
    expect(difference(await runPieces(analysis, [1], inputs, 'disabled'), wanted)).toBe(0)
  })

  it('bring sparse constants whose values or indices are in a file, wherever they are', async () => {
    const count = 400
    const at = Array.from({ length: count }, (_, i) => BigInt(7 * i))
    const values = floats('', [count])
    const bytes = Buffer.concat([values.rawData, new Uint8Array(BigInt64Array.from(at).buffer)])
    const sparse = (name: string) => {
      const tensor = create(SparseTensorProtoSchema, {
        values: create(TensorProtoSchema, { name, dims: [BigInt(count)], dataType: DataType.FLOAT }),
        indices: create(TensorProtoSchema, { dims: [BigInt(count)], dataType: DataType.INT64 }),
        dims: [100n, 30n],
      })
      setReference(tensor.values!, 'sparse.bin', 0, 4 * count)
      setReference(tensor.indices!, 'sparse.bin', 4 * count, 8 * count)
      return tensor
    }
    const branch = graph({ nodes: [node('MatMul', ['h', 'inside'], ['t'])], outputs: [value('t', [1, 30])] })
    branch.sparseInitializer = [sparse('inside')]
    // Where ONNX infers shapes, which it does of bodies, it reads indices in the model only.
    branch.sparseInitializer[0]!.indices = tensorOf(
      '',
      [count],
      DataType.INT64,
      new Uint8Array(BigInt64Array.from(at).buffer),
    )
    const given = model({
      nodes: [
        node('Relu', ['x'], ['h']),
        node('MatMul', ['h', 'outside'], ['m']),
        node('If', ['flag'], ['z'], {
          then_branch: branch,
          else_branch: graph({ nodes: [node('Neg', ['m'], ['e'])], outputs: [value('e', [1, 30])] }),
        }),
        node('Add', ['z', 'm'], ['y']),
      ],
      inputs: [x([1, 100]), value('flag', [], DataType.BOOL)],
      outputs: [y],
    })
    given.graph!.sparseInitializer = [sparse('outside')]
    const place = fileOf(given)
    fs.writeFileSync(path.join(place.dir, 'sparse.bin'), bytes)
    expect((await describeModel(path.join(place.dir, place.file))).externalFiles).toEqual(['sparse.bin'])
    const analysis = await analysed(place)
    const inputs = inputsOf(analysis)
    const whole = await runFile(path.join(place.dir, place.file), inputs, 'disabled')
    expect(difference(await runPieces(analysis, [1, 2, 3], inputs, 'disabled'), whole)).toBeLessThan(1e-6)
    const extents = await Promise.all(
      [0, 1, 2, 3].map(async (layer) => {
        const range = await writeRange(analysis.canonical, layer, layer + 1, path.join(place.dir, 'one.onnx'))
        return range.extents.map(({ path: file, offset, length }) => [file, offset, length])
      }),
    )
    expect(extents).toEqual([[], [['sparse.bin', 0, 12 * count]], [['sparse.bin', 0, 4 * count]], []])
    const { layers } = analysis.structure
    expect(layers.map(({ weightBytes }) => weightBytes)).toEqual([0, 12 * count, 12 * count, 0])
  })

  it('are refused where a sparse constant refers to a file outside', async () => {
    const given = model({ nodes: [node('MatMul', ['x', 'w'], ['y'])], inputs: [x([1, 3])], outputs: [y] })
    const tensor = create(SparseTensorProtoSchema, {
      values: create(TensorProtoSchema, { name: 'w', dims: [1n], dataType: DataType.FLOAT }),
      indices: ints('', [0]),
      dims: [3n, 3n],
    })
    setReference(tensor.values!, '../weights.bin', 0, 4)
    given.graph!.sparseInitializer = [tensor]
    await expect(analysed(fileOf(given))).rejects.toThrow('"w" has the location "../weights.bin"')
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
