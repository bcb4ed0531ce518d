import fs from 'node:fs'
import path from 'node:path'
import { create } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { NodeProtoSchema } from '../../shared/onnx/proto/onnx_pb.ts'
import { DataType, floats, ints, model, node, value } from './support/build.ts'
import { analysed, fileOf } from './support/models.ts'
import { operators, piecewise } from './support/run.ts'

const x = (shape: readonly number[] = [2, 3]) => value('x', shape)
const y = value('y', undefined)

describe('constants', () => {
  it('are no layers, whether they are initializers, Constant nodes or computed from such', async () => {
    const analysis = await piecewise(
      model({
        nodes: [
          node('Constant', [], ['c'], { value: floats('', [3], [1, 2, 3]) }),
          node('Mul', ['c', 'w'], ['cw']),
          node('Sqrt', ['cw'], ['root']),
          node('Add', ['x', 'root'], ['y']),
        ],
        inputs: [x()],
        outputs: [y],
        constants: [floats('w', [3], [4, 5, 6])],
      }),
    )
    expect(operators(analysis)).toEqual(['Add'])
    expect(analysis.structure.layers[0]).toMatchObject({ inputs: ['x'], weightBytes: 12 })
  })

  it('may be written in every way that Constant has', async () => {
    const constants = [
      create(NodeProtoSchema, {
        opType: 'Constant',
        output: ['a'],
        attribute: [{ name: 'value_float', type: 1, f: 2.5 }],
      }),
      create(NodeProtoSchema, {
        opType: 'Constant',
        output: ['b'],
        attribute: [{ name: 'value_floats', type: 6, floats: [1, 2, 3] }],
      }),
      create(NodeProtoSchema, {
        opType: 'Constant',
        output: ['i'],
        attribute: [{ name: 'value_int', type: 2, i: 1n }],
      }),
      create(NodeProtoSchema, {
        opType: 'Constant',
        output: ['s'],
        attribute: [{ name: 'value_ints', type: 7, ints: [3n, 2n] }],
      }),
    ]
    const analysis = await piecewise(
      model({
        nodes: [
          ...constants,
          node('Add', ['x', 'a'], ['xa']),
          node('Mul', ['xa', 'b'], ['xb']),
          node('Gather', ['xb', 'i'], ['row']),
          node('Reshape', ['xb', 's'], ['turned']),
          node('Concat', ['turned', 'turned'], ['y'], { axis: 0 }),
          node('Neg', ['row'], ['z']),
        ],
        inputs: [x()],
        outputs: [y, value('z', undefined)],
      }),
    )
    expect(operators(analysis)).toEqual(['Add', 'Mul', 'Gather', 'Reshape', 'Concat', 'Neg'])
  })

  it('are found in what Shape says of a tensor whose shape is known', async () => {
    const analysis = await piecewise(
      model({
        nodes: [
          node('Shape', ['x'], ['shape']),
          node('Gather', ['shape', 'zero'], ['rows']),
          node('Unsqueeze', ['rows', 'axes'], ['rows1']),
          node('Concat', ['rows1', 'minus'], ['target'], { axis: 0 }),
          node('Reshape', ['x', 'target'], ['flat']),
          node('Shape', ['flat'], ['shape2']),
          node('ConstantOfShape', ['shape2'], ['zeros']),
          node('Add', ['flat', 'zeros'], ['y']),
        ],
        inputs: [value('x', ['n', 2, 2])],
        outputs: [y],
        constants: [ints('zero', [0], []), ints('axes', [0]), ints('minus', [-1])],
      }),
      { x: [3, 2, 2] },
    )
    expect(operators(analysis)).toEqual(['Reshape', 'Add'])
    expect(analysis.structure.outputs[0]?.shape).toEqual([3, 4])
  })

  it('that would be large are computed by every session instead of being written down', async () => {
    const analysis = await piecewise(
      model({
        nodes: [
          node('ConstantOfShape', ['size'], ['w'], { value: floats('', [1], [0.5]) }),
          node('MatMul', ['x', 'w'], ['h']),
          node('Relu', ['h'], ['y']),
        ],
        inputs: [x([1, 400])],
        outputs: [y],
        constants: [ints('size', [400, 300])],
      }),
    )
    expect(operators(analysis)).toEqual(['MatMul', 'Relu'])
    expect(analysis.structure.layers[0]?.weightBytes).toBe(400 * 300 * 4)
    const written = fs.statSync(path.join(analysis.dir, `${analysis.structure.shapesKey}.canonical.onnx`))
    expect(written.size).toBeLessThan(1000)
  })

  it('listed among the inputs, as old files do, are not inputs', async () => {
    const analysis = await piecewise(
      model(
        {
          nodes: [node('Add', ['x', 'w'], ['y'])],
          inputs: [x(), value('w', [3])],
          outputs: [y],
          constants: [floats('w', [3])],
        },
        9,
        3,
      ),
    )
    expect(analysis.structure.inputs.map(({ name }) => name)).toEqual(['x'])
  })

  it('read through Identity are the constants themselves', async () => {
    const analysis = await piecewise(
      model({
        nodes: [
          node('Identity', ['w'], ['w1']),
          node('Identity', ['w1'], ['w2']),
          node('MatMul', ['x', 'w2'], ['y']),
        ],
        inputs: [x([1, 300])],
        outputs: [y],
        constants: [floats('w', [300, 100])],
      }),
    )
    expect(operators(analysis)).toEqual(['MatMul'])
    expect(analysis.structure.weightBytes).toBe(120_000)
  })

  it('never come from random operators', async () => {
    const at = fileOf(
      model({
        nodes: [node('RandomNormal', [], ['r'], { shape: [2, 3] }), node('Add', ['x', 'r'], ['y'])],
        inputs: [x()],
        outputs: [y],
      }),
    )
    expect(operators(await analysed(at))).toEqual(['RandomNormal', 'Add'])
  })
})

describe('graph outputs', () => {
  it('may be constants: a layer makes them', async () => {
    const analysis = await piecewise(
      model({
        nodes: [node('Relu', ['x'], ['y']), node('Add', ['x', 'c'], ['z'])],
        inputs: [x()],
        outputs: [y, value('c', [3]), value('z', undefined)],
        constants: [floats('c', [3])],
      }),
    )
    expect(operators(analysis)).toEqual(['Relu', 'Add', 'Identity'])
  })

  it('may be graph inputs: they pass through every range', async () => {
    const analysis = await piecewise(
      model({ nodes: [node('Relu', ['x'], ['y'])], inputs: [x()], outputs: [y, value('x', [2, 3])] }),
    )
    expect(analysis.structure.boundaries.map(({ tensors }) => tensors)).toEqual([['x'], ['x', 'y']])
  })

  it('that nothing computes leave a model without layers', async () => {
    const analysis = await analysed(
      fileOf(model({ nodes: [], inputs: [x()], outputs: [value('x', [2, 3])] })),
    )
    expect(analysis.structure.layers).toEqual([])
    expect(analysis.structure.boundaries).toHaveLength(1)
  })

  it('made early are part of every later boundary', async () => {
    const analysis = await piecewise(
      model({
        nodes: [node('Relu', ['x'], ['early']), node('Neg', ['early'], ['h']), node('Abs', ['h'], ['y'])],
        inputs: [x()],
        outputs: [y, value('early', undefined)],
      }),
    )
    expect(analysis.structure.boundaries.map(({ tensors }) => tensors)).toEqual([
      ['x'],
      ['early'],
      ['early', 'h'],
      ['early', 'y'],
    ])
  })
})

describe('layers', () => {
  it('are in the order of the file, and in a working order where that is none', async () => {
    const analysis = await piecewise(
      model({
        nodes: [node('Neg', ['h'], ['y']), node('Relu', ['x'], ['h'])],
        inputs: [x()],
        outputs: [y],
      }),
    )
    expect(operators(analysis)).toEqual(['Relu', 'Neg'])
  })

  it('that nothing needs are left out, and so are outputs that nobody reads', async () => {
    const analysis = await piecewise(
      model({
        nodes: [
          node('Neg', ['x'], ['unused']),
          node('Exp', ['unused'], ['unused2']),
          node('Dropout', ['x'], ['h', 'mask']),
          node('Relu', ['h'], ['y']),
        ],
        inputs: [x()],
        outputs: [y],
      }),
    )
    expect(operators(analysis)).toEqual(['Dropout', 'Relu'])
    expect(analysis.structure.layers[0]?.outputs.map(({ name }) => name)).toEqual(['h'])
  })

  it('without a name are called after what they make; odd names are kept', async () => {
    const analysis = await piecewise(
      model({
        nodes: [
          node('Relu', ['x'], ['a/b:0;c d'], {}, { name: '' }),
          node('Neg', ['a/b:0;c d'], ['42'], {}, { name: '' }),
          node('Abs', ['42'], ['y'], {}, { name: 'ünï/码:0' }),
        ],
        inputs: [x()],
        outputs: [y],
      }),
    )
    expect(analysis.structure.layers.map(({ name }) => name)).toEqual(['a/b:0;c d', '42', 'ünï/码:0'])
  })

  it('may leave inputs out', async () => {
    const analysis = await piecewise(
      model({
        nodes: [node('Clip', ['x', '', 'top'], ['y'])],
        inputs: [x()],
        outputs: [y],
        constants: [floats('top', [], [0.5])],
      }),
    )
    expect(analysis.structure.layers[0]?.inputs).toEqual(['x'])
  })

  it('carry integers, booleans and half precision across boundaries', async () => {
    const analysis = await piecewise(
      model({
        nodes: [
          node('Cast', ['x'], ['i'], { to: BigInt(DataType.INT64) }),
          node('Greater', ['i', 'zero'], ['b']),
          node('Cast', ['x'], ['h'], { to: BigInt(DataType.FLOAT16) }),
          node('Where', ['b', 'x', 'c'], ['w']),
          node('Cast', ['h'], ['h32'], { to: BigInt(DataType.FLOAT) }),
          node('Add', ['w', 'h32'], ['y']),
        ],
        inputs: [x()],
        outputs: [y],
        constants: [ints('zero', [0], []), floats('c', [], [-3])],
      }),
    )
    expect(analysis.structure.layers.map(({ outputs }) => outputs[0]?.datatype)).toEqual([
      'INT64',
      'BOOL',
      'FP16',
      'FP32',
      'FP32',
      'FP32',
    ])
  })

  it('with sizes that depend on the data have an open dimension and the bytes of one run', async () => {
    const analysis = await piecewise(
      model({
        nodes: [
          node('NonZero', ['x'], ['places']),
          node('Cast', ['places'], ['y'], { to: BigInt(DataType.FLOAT) }),
        ],
        inputs: [x()],
        outputs: [y],
      }),
    )
    expect(analysis.structure.layers[0]?.outputs[0]).toMatchObject({ shape: [2, -1], bytes: 2 * 6 * 8 })
  })
})
