import fs from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { DataType, floats, graph, ints, model, node, value } from './support/build.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { analysed, fileOf } from './support/models.ts'
import { difference, operators, piecewise, runFile, runPieces } from './support/run.ts'

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

  it('may make a tensor with another number of dimensions than in the trial run', async () => {
    const branches = {
      then_branch: graph({
        nodes: [node('ReduceSum', ['h'], ['t'], { keepdims: 0 })],
        outputs: [value('t', undefined)],
      }),
      else_branch: graph({ nodes: [node('Abs', ['h'], ['e'])], outputs: [value('e', undefined)] }),
    }
    const at = fileOf(
      model({
        nodes: [node('Relu', ['x'], ['h']), node('If', ['flag'], ['z'], branches), node('Neg', ['z'], ['y'])],
        inputs: [x(), value('flag', [], DataType.BOOL)],
        outputs: [y],
      }),
    )
    const analysis = await analysed(at)
    const { inputs, layers } = analysis.structure
    expect(layers.map(({ outputs }) => outputs[0]?.anyRank)).toEqual([undefined, true, true])
    expect(layers.map(({ branches }) => branches)).toEqual([undefined, true, undefined])
    for (const flag of [0, 1]) {
      const given = new Map(makeInputs(inputs, 3).map((tensor) => [tensor.name, tensor]))
      given.set('flag', { name: 'flag', datatype: 'BOOL', shape: [], bytes: Uint8Array.of(flag) })
      const whole = await runFile(path.join(at.dir, at.file), given, 'all')
      expect(whole.get('y')?.shape).toEqual(flag ? [] : [2, 3])
      expect(difference(await runPieces(analysis, [1, 2], given, 'all'), whole)).toBe(0)
    }
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
