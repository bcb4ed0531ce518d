import path from 'node:path'
import { describe, expect, it } from 'vitest'
import type { InputShapes } from '../../shared/contracts/common.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { describeModel, resolveInputShapes, shapesKeyOf } from '../../shared/onnx/index.ts'
import { DataType, type Dim, floats, model, node, value } from './support/build.ts'
import { analysed, fileOf } from './support/models.ts'

function addition(a: readonly Dim[] | undefined, b: readonly Dim[] | undefined) {
  return fileOf(
    model({
      nodes: [node('Add', ['a', 'b'], ['y'])],
      inputs: [value('a', a), value('b', b)],
      outputs: [value('y', undefined)],
    }),
  )
}

async function resolved(
  a: readonly Dim[] | undefined,
  b: readonly Dim[] | undefined,
  given: InputShapes = {},
) {
  const at = addition(a, b)
  const { inputs } = await describeModel(path.join(at.dir, at.file))
  return resolveInputShapes(inputs, given)
}

async function refusal(promise: Promise<unknown>): Promise<ScissionError> {
  const error = await promise.then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(ScissionError)
  return error as ScissionError
}

describe('input shapes', () => {
  it('need not be given where the model declares them', async () => {
    expect(await resolved([2, 3], [3])).toEqual({ a: [2, 3], b: [3] })
  })

  it('are asked for by input, axis and symbol where dimensions are open', async () => {
    const error = await refusal(resolved(['batch', 3], [null, 3]))
    expect(error.code).toBe('needsInputShapes')
    expect(error.details).toEqual({
      dims: [
        { input: 'a', axis: 0, symbol: 'batch' },
        { input: 'b', axis: 0, symbol: '' },
      ],
    })
    expect(error.message).toContain('dimension 0 of "a" ("batch")')
    expect(error.message).toContain('a:1x3,b:1x3')
  })

  it('settle a symbol for the other inputs that use it', async () => {
    expect(await resolved(['n', 3], ['n', 1], { a: [5, 3] })).toEqual({ a: [5, 3], b: [5, 1] })
  })

  it('may give one symbol two sizes, as a run of the model decides, but then it settles no other input', async () => {
    expect(await resolved(['n', 3], ['n', 1], { a: [5, 3], b: [4, 1] })).toEqual({ a: [5, 3], b: [4, 1] })
    const error = await refusal(resolved(['n', 'n'], ['n', 1], { a: [5, 3] }))
    expect(error.code).toBe('needsInputShapes')
    expect(error.details).toEqual({ dims: [{ input: 'b', axis: 0, symbol: 'n', sizes: [5, 3] }] })
    expect(error.message).toContain('dimension 0 of "b" ("n", which is 5 and 3 in the given shapes)')
  })

  it('with two sizes of one symbol are those of a model that runs on them, and refused for one that does not', async () => {
    const nodes = [node('Concat', ['a', 'b'], ['c'], { axis: 0 }), node('Relu', ['c'], ['y'])]
    const inputs = [value('a', ['n', 3]), value('b', ['n', 3])]
    const at = fileOf(model({ nodes, inputs, outputs: [value('y', ['n', 3])] }))
    const { structure } = await analysed(at, { a: [5, 3], b: [4, 3] })
    expect(structure.outputs[0]).toMatchObject({ name: 'y', shape: [9, 3] })
    const error = await refusal(analysed(addition(['n', 3], ['n', 3]), { a: [5, 3], b: [4, 3] }))
    expect(error.code).toBe('invalidModel')
  })

  it.each([
    ['another size', { a: [2, 4] }, 'differs in dimension 1'],
    ['another rank', { a: [2, 3, 1] }, 'has 3 dimensions instead of 2'],
    ['too many elements', { a: [2 ** 40, 2 ** 40] }, 'too many elements'],
    ['an unknown input', { c: [1] }, 'no input "c"'],
  ])('are refused when they have %s', async (_, given: InputShapes, says) => {
    const error = await refusal(resolved(['n', 3], [3], given))
    expect(error.code).toBe('badRequest')
    expect(error.message).toContain(says)
  })

  it('may be given for an input whose number of dimensions the file leaves open', async () => {
    expect((await refusal(resolved(undefined, [3]))).message).toContain('all dimensions of "a"')
    expect(await resolved(undefined, [3], { a: [4, 3] })).toEqual({ a: [4, 3], b: [3] })
  })

  it('are open where an exporter wrote 0 or -1 for "any"', async () => {
    const error = await refusal(resolved([0, 3], [-1, 3]))
    expect(error.code).toBe('needsInputShapes')
    expect(await resolved([0, 3], [-1, 3], { a: [2, 3], b: [2, 3] })).toEqual({ a: [2, 3], b: [2, 3] })
  })

  it('become the shapes of everything after them', async () => {
    const { structure } = await analysed(addition(['n', 3], ['n', 1]), { a: [5, 3] })
    expect(structure.outputs[0]).toMatchObject({ name: 'y', shape: [5, 3], bytes: 60, datatype: 'FP32' })
    expect(structure.inputShapes).toEqual({ a: [5, 3], b: [5, 1] })
    expect(structure.shapesKey).toBe(shapesKeyOf({ b: [5, 1], a: [5, 3] }))
  })

  it('have one key whatever the order of the inputs, and another for another shape', () => {
    expect(shapesKeyOf({ a: [1], b: [2] })).toBe(shapesKeyOf({ b: [2], a: [1] }))
    expect(shapesKeyOf({ a: [1], b: [2] })).not.toBe(shapesKeyOf({ a: [2], b: [1] }))
    expect(shapesKeyOf({ a: [1] })).toMatch(/^[0-9a-f]{12}$/)
  })
})

describe('the description of a model', () => {
  it('tells inputs and outputs without those that only are default values', async () => {
    const at = fileOf(
      model(
        {
          nodes: [node('Add', ['x', 'w'], ['y'])],
          inputs: [value('x', ['n', 2]), value('w', [2])],
          outputs: [value('y', ['n', 2])],
          constants: [floats('w', [2])],
        },
        9,
        3,
      ),
    )
    expect(await describeModel(path.join(at.dir, at.file))).toEqual({
      irVersion: 3,
      opsets: { 'ai.onnx': 9 },
      producer: '',
      inputs: [{ name: 'x', datatype: 'FP32', shape: ['n', 2] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: ['n', 2] }],
      externalFiles: [],
    })
  })

  it('refuses element types that cannot travel, naming the tensor', async () => {
    const at = fileOf(
      model({
        nodes: [node('Identity', ['x'], ['y'])],
        inputs: [value('x', [2], DataType.COMPLEX64)],
        outputs: [value('y', [2], DataType.COMPLEX64)],
      }),
    )
    const error = await refusal(describeModel(path.join(at.dir, at.file)))
    expect(error.code).toBe('invalidModel')
    expect(error.message).toContain('graph input "x" has the element type COMPLEX64')
  })
})
