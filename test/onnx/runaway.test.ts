/** Which graphs can run away by the values of their inputs, and which only by their shapes. */
import { create } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { findRunaway } from '../../shared/onnx/runaway/find-runaway.ts'
import { FunctionProtoSchema, type NodeProto, type TensorProto } from '../../shared/onnx/proto/onnx_pb.ts'
import { DataType, floats, graph, ints, model, node, value } from './support/build.ts'

const X = value('x', ['n', 3])
const N = value('n', [], DataType.INT64)
const S = value('s', [1], DataType.INT64)
const Y = value('y', undefined)

/** @returns why a graph with the inputs x [n, 3], n, s [1], and whatever it is made of, can run away. */
function whyOf(nodes: readonly NodeProto[], constants: readonly TensorProto[] = []): string | undefined {
  return findRunaway(model({ nodes, inputs: [X, N, S], outputs: [Y], constants }))
}

/** The body of a Loop that carries `a`; `on` is its condition after each turn. */
const turn = (nodes: readonly NodeProto[], on = 'go') =>
  graph({
    nodes,
    inputs: [value('turn', [], DataType.INT64), value('go', [], DataType.BOOL), value('a', undefined)],
    outputs: [value(on, [], DataType.BOOL), value('b', undefined)],
  })
const doubled = node('Add', ['a', 'a'], ['b'])
const yes: TensorProto = { ...ints('yes', [1], []), dataType: DataType.BOOL }
const loop = (trips: string, body = turn([doubled]), go = '') =>
  node('Loop', [trips, go, 'x'], ['y'], { body })

describe('a Loop', () => {
  it('runs away if its turns are told by an input, or by a shape: what it carries may grow', () => {
    expect(whyOf([loop('n')])).toBe('Loop "Loop:y" takes as many turns as "n" says')
    const trips = [node('Shape', ['x'], ['shape']), node('Gather', ['shape', 'zero'], ['rows'])]
    expect(whyOf([...trips, loop('rows')], [ints('zero', [0], [])])).toMatch(/as many turns as "rows"/)
  })

  it('does not if a constant tells them', () => {
    expect(whyOf([loop('five')], [ints('five', [5], [])])).toBeUndefined()
    expect(whyOf([loop('five', undefined, 'yes')], [ints('five', [5], []), yes])).toBeUndefined()
  })

  it('runs away if its condition follows from values, before it or in it', () => {
    const five = ints('five', [5], [])
    expect(whyOf([node('Cast', ['n'], ['go?'], { to: 9 }), loop('five', undefined, 'go?')], [five])).toMatch(
      /begins or not as "go\?" says/,
    )
    const until = turn(
      [doubled, node('ReduceSum', ['b'], ['sum']), node('Less', ['sum', 'most'], ['less'])],
      'less',
    )
    expect(whyOf([loop('', until)], [floats('most', [], [9])])).toMatch(/for as long as its values say/)
  })

  it('is found in a loop, a Scan, a branch and a function', () => {
    const five = ints('five', [5], [])
    expect(
      whyOf([loop('five', turn([node('Loop', ['n', '', 'a'], ['b'], { body: turn([doubled]) })]))], [five]),
    ).toMatch(/Loop "Loop:b"/)
    const step = graph({
      nodes: [node('Loop', ['n', '', 'row'], ['out'], { body: turn([doubled]) })],
      inputs: [value('row', [3])],
      outputs: [value('out', [3])],
    })
    expect(whyOf([node('Scan', ['x'], ['y'], { body: step, num_scan_inputs: 1 })])).toMatch(/Loop "Loop:out"/)
    const branch = (inner: NodeProto) => graph({ nodes: [inner], outputs: [value('y', undefined)] })
    const same = branch(node('Identity', ['x'], ['y']))
    const chosen = node('If', ['yes'], ['y'], { then_branch: branch(loop('n')), else_branch: same })
    expect(whyOf([chosen], [yes])).toMatch(/as many turns as "n"/)
    const fn = create(FunctionProtoSchema, {
      name: 'F',
      domain: 'own',
      input: ['count', 'x'],
      output: ['y'],
      node: [loop('count')],
    })
    const calls = (count: string) =>
      findRunaway({
        ...model({
          nodes: [node('F', [count, 'x'], ['y'], {}, { domain: 'own' })],
          inputs: [X, N],
          outputs: [Y],
          constants: [five],
        }),
        functions: [fn],
      })
    expect(calls('n')).toMatch(/as many turns as "count"/)
    expect(calls('five')).toBeUndefined()
  })
})

describe('an operator that is told how much to make', () => {
  const told: [string, NodeProto][] = [
    ['Range', node('Range', ['zero', 'n', 'one'], ['y'])],
    ['ConstantOfShape', node('ConstantOfShape', ['s'], ['y'])],
    ['Expand', node('Expand', ['x', 's'], ['y'])],
    ['Tile', node('Tile', ['x', 's'], ['y'])],
    ['Resize by sizes', node('Resize', ['x', '', '', 's'], ['y'])],
    ['Pad', node('Pad', ['x', 's'], ['y'])],
    ['OneHot', node('OneHot', ['x', 'n', 'x'], ['y'])],
    [
      'GroupQueryAttention',
      node('GroupQueryAttention', ['x', '', '', '', '', 's', 'n'], ['y'], {}, { domain: 'com.microsoft' }),
    ],
    ['BeamSearch', node('BeamSearch', ['x', 's'], ['y'], {}, { domain: 'com.microsoft' })],
  ]
  it.each(told)('runs away if an input tells it: %s', (_what, made) => {
    expect(whyOf([made], [ints('zero', [0], []), ints('one', [1], [])])).toMatch(
      / (makes as much|takes as many)/,
    )
  })

  it('does not if constants and shapes do, by the arithmetic of exported networks', () => {
    const sizes = [
      node('Shape', ['x'], ['shape']),
      node('Slice', ['shape', 'first', 'last'], ['rows']),
      node('Cast', ['rows'], ['real'], { to: 1 }),
      node('Mul', ['real', 'scale'], ['more']),
      node('Floor', ['more'], ['whole']),
      node('Cast', ['whole'], ['size'], { to: 7 }),
      node('Concat', ['size', 'first'], ['sizes'], { axis: 0 }),
    ]
    const constants = [ints('first', [0]), ints('last', [1]), floats('scale', [1], [2])]
    const resize = (input: string) => node('Resize', [input, '', '', 'sizes'], ['y'])
    expect(whyOf([...sizes, resize('x')], constants)).toBeUndefined()
    // The shape of what values have chosen is bounded by what they chose from.
    const chosen = [node('NonZero', ['x'], ['found']), node('Shape', ['found'], ['many'])]
    expect(whyOf([...chosen, node('ConstantOfShape', ['many'], ['y'])])).toBeUndefined()
  })

  it('runs away by what is no arithmetic of sizes, and by chance', () => {
    const power = [node('Shape', ['x'], ['shape']), node('Pow', ['two', 'shape'], ['huge'])]
    expect(whyOf([...power, node('ConstantOfShape', ['huge'], ['y'])], [ints('two', [2])])).toMatch(/"huge"/)
    const chance = [
      node('RandomUniform', [], ['some'], { shape: [1] }),
      node('Cast', ['some'], ['size'], { to: 7 }),
    ]
    expect(whyOf([...chance, node('ConstantOfShape', ['size'], ['y'])])).toMatch(/"size"/)
  })

  it('counts in a branch that no trial has taken, by constants too unless they are small', () => {
    const branch = (inner: NodeProto) => graph({ nodes: [inner], outputs: [value('y', undefined)] })
    const either = (inner: NodeProto) => [
      node('Cast', ['n'], ['choice'], { to: 9 }),
      node('If', ['choice'], ['y'], {
        then_branch: branch(inner),
        else_branch: branch(node('Identity', ['x'], ['y'])),
      }),
    ]
    const make = node('ConstantOfShape', ['size'], ['y'])
    expect(whyOf(either(make), [ints('size', [1000, 1000])])).toBeUndefined()
    expect(whyOf(either(make), [ints('size', [1000, 1000, 1000])])).toMatch(/in a branch, as much as "size"/)
    expect(whyOf(either(loop('size')), [ints('size', [2], [])])).toMatch(/in a branch/)
    expect(whyOf([make], [ints('size', [1000, 1000, 1000])])).toBeUndefined()
  })
})

describe('other networks', () => {
  it('do not run away: their time and memory follow from shapes', () => {
    const nodes = [
      node('Reshape', ['x', 's'], ['flat']),
      node('TopK', ['flat', 's'], ['best', 'at']),
      node('Gather', ['x', 'at'], ['rows']),
      node('Slice', ['rows', 's', 's'], ['part']),
      node('MatMul', ['part', 'w'], ['y']),
    ]
    expect(whyOf(nodes, [floats('w', [3, 3])])).toBeUndefined()
  })

  it('are judged in a moment, whatever their depth', () => {
    let body = turn([doubled])
    for (let depth = 0; depth < 70; depth += 1)
      body = turn([node('Loop', ['five', '', 'a'], ['b'], { body })])
    expect(whyOf([loop('five', body)], [ints('five', [5], [])])).toMatch(/nested deeper/)
  })
})
