/** Models of which only some input values are valid: an analysis finds such values, or says which inputs need them. */
import { create } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import type { InputShapes } from '../../shared/contracts/common.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { analyse } from '../../shared/onnx/index.ts'
import { type ModelProto, OperatorSetIdProtoSchema } from '../../shared/onnx/proto/onnx_pb.ts'
import { makeInputs } from '../../shared/onnx/sample-inputs/sample-inputs.ts'
import { decodeElements } from '../../shared/oip/bytes-elements.ts'
import { typedView } from '../../shared/oip/typed-view.ts'
import { DataType, floats, graph, type GraphWords, ints, model, node, value } from './support/build.ts'
import { fileOf, NO_ID } from './support/models.ts'

const { BOOL, INT32, INT64, STRING } = DataType
const y = value('y', undefined)
const x = value('x', [2, 12])

function domains(words: GraphWords, opset = 17): ModelProto {
  const made = model(words, opset)
  for (const [domain, version] of [
    ['ai.onnx.ml', 3n],
    ['com.microsoft', 1n],
  ] as const)
    made.opsetImport.push(create(OperatorSetIdProtoSchema, { domain, version }))
  return made
}

const analysisOf = (given: ModelProto, inputShapes?: InputShapes): Promise<Structure> =>
  analyse({ ...fileOf(given), model: NO_ID, inputShapes })

/** The values that are made up for an input, as numbers or texts. */
function valuesOf({ inputs, inputHints }: Structure, name: string): (number | string)[] {
  const tensor = makeInputs(inputs, 3, inputHints).find((one) => one.name === name)
  if (!tensor) throw new Error(`the model has no input ${name}`)
  if (tensor.datatype === 'BYTES')
    return decodeElements(tensor.bytes, name).map((bytes) => Buffer.from(bytes).toString())
  return Array.from(typedView(tensor) as ArrayLike<number | bigint>, Number)
}

describe('values are made up that an argument may have', () => {
  const ml = { domain: 'ai.onnx.ml' }
  const ms = { domain: 'com.microsoft' }
  const integer = (name: string, shape: readonly number[], type = INT64) => value(name, shape, type)
  const relu = node('Relu', ['x'], ['r'])
  const cases: [string, GraphWords, number?][] = [
    [
      'a shape',
      { nodes: [relu, node('Reshape', ['r', 's'], ['y'])], inputs: [x, integer('s', [3])], outputs: [y] },
    ],
    [
      'a part of a shape',
      {
        nodes: [relu, node('Concat', ['n', 'rest'], ['s'], { axis: 0 }), node('Reshape', ['r', 's'], ['y'])],
        inputs: [x, integer('n', [1])],
        outputs: [y],
        constants: [ints('rest', [-1])],
      },
    ],
    [
      'a shape to expand to',
      { nodes: [relu, node('Expand', ['r', 's'], ['y'])], inputs: [x, integer('s', [3])], outputs: [y] },
    ],
    [
      'repeats',
      { nodes: [relu, node('Tile', ['r', 's'], ['y'])], inputs: [x, integer('s', [2])], outputs: [y] },
    ],
    [
      'sizes of an image',
      {
        nodes: [node('Resize', ['image', '', '', 's'], ['y'])],
        inputs: [value('image', [1, 3, 4, 4]), integer('s', [4])],
        outputs: [y],
      },
    ],
    [
      'scales of an image',
      {
        nodes: [node('Resize', ['image', '', 's'], ['y'])],
        inputs: [value('image', [1, 3, 4, 4]), value('s', [4])],
        outputs: [y],
      },
    ],
    [
      'a slice',
      {
        nodes: [relu, node('Slice', ['r', 'from', 'to', 'axes'], ['y'])],
        inputs: [x, integer('from', [1]), integer('to', [1]), integer('axes', [1])],
        outputs: [y],
      },
    ],
    [
      'a count',
      { nodes: [node('TopK', ['x', 'k'], ['y', 'at'])], inputs: [x, integer('k', [1])], outputs: [y] },
    ],
    [
      'sizes of parts',
      {
        nodes: [node('Split', ['x', 's'], ['a', 'b'], { axis: 1 }), node('Add', ['a', 'b'], ['y'])],
        inputs: [x, integer('s', [2])],
        outputs: [y],
      },
    ],
    [
      'indices of a short axis',
      {
        nodes: [node('GatherElements', ['x', 'at'], ['y'], { axis: 0 })],
        inputs: [value('x', [1, 12]), integer('at', [3, 12])],
        outputs: [y],
      },
    ],
    [
      'a divisor',
      {
        nodes: [node('Div', ['hundred', 'n'], ['y'])],
        inputs: [integer('n', [16])],
        outputs: [value('y', undefined, INT64)],
        constants: [ints('hundred', [100])],
      },
    ],
    [
      'a text that is a number',
      {
        nodes: [node('Cast', ['t'], ['y'], { to: 1 })],
        inputs: [value('t', [2], STRING)],
        outputs: [y],
      },
    ],
    [
      'the length of sequences',
      {
        nodes: [node('ReverseSequence', ['x', 'n'], ['y'], { time_axis: 1, batch_axis: 0 })],
        inputs: [x, integer('n', [2])],
        outputs: [y],
      },
    ],
    [
      'lengths of a cache',
      {
        nodes: [
          node(
            'GroupQueryAttention',
            ['q', 'k', 'k', 'past_k', 'past_v', 'filled', 'total'],
            ['y', 'now_k', 'now_v'],
            { num_heads: 2, kv_num_heads: 1 },
            ms,
          ),
        ],
        inputs: [
          value('q', [1, 1, 32]),
          value('k', [1, 1, 16]),
          value('past_k', [1, 1, 5, 16]),
          value('past_v', [1, 1, 5, 16]),
          integer('filled', [1], INT32),
          integer('total', [1], INT32),
        ],
        outputs: [y, value('now_k', undefined), value('now_v', undefined)],
      },
    ],
    [
      'categories, by column',
      {
        nodes: [
          node('ArrayFeatureExtractor', ['t', 'zero'], ['first'], {}, ml),
          node('ArrayFeatureExtractor', ['t', 'one'], ['second'], {}, ml),
          node('OneHotEncoder', ['first'], ['a'], { cats_strings: ['red', 'green'], zeros: 0 }, ml),
          node('OneHotEncoder', ['second'], ['b'], { cats_strings: ['S', 'M', 'L'], zeros: 0 }, ml),
          node('Concat', ['a', 'b'], ['y'], { axis: 2 }),
        ],
        inputs: [value('t', [4, 2], STRING)],
        outputs: [y],
        constants: [ints('zero', [0]), ints('one', [1])],
      },
    ],
    [
      'categories that are numbers',
      {
        nodes: [node('OneHotEncoder', ['n'], ['y'], { cats_int64s: [30, 50], zeros: 0 }, ml)],
        inputs: [integer('n', [5, 1])],
        outputs: [y],
      },
    ],
  ]
  it.each(cases)('%s', async (_, words) => {
    const structure = await analysisOf(domains(words))
    expect(structure.layers.length).toBeGreaterThan(0)
  })

  it('a cache that grows, although ONNX Runtime infers that it stays', async () => {
    const [, words] = cases.find(([title]) => title === 'lengths of a cache')!
    const { outputs, layers } = await analysisOf(domains(words))
    expect(outputs.find(({ name }) => name === 'now_k')).toMatchObject({
      shape: [1, 1, -1, 16],
      bytes: 6 * 16 * 4,
    })
    expect(layers[0]?.outputs[1]?.shape).toEqual([1, 1, -1, 16])
  })

  it('rows that fit the weights they are multiplied by', async () => {
    const structure = await analysisOf(
      model({
        nodes: [node('Reshape', ['x', 's'], ['a']), node('MatMul', ['a', 'w'], ['y'])],
        inputs: [x, integer('s', [2])],
        outputs: [y],
        constants: [floats('w', [8, 2])],
      }),
    )
    expect(structure.inputHints).toMatchObject({ s: { elements: [-1, 8] } })
  })

  it('two inputs that only fit together, one after the other', async () => {
    const structure = await analysisOf(
      model({
        nodes: [
          node('Reshape', ['x', 's'], ['a']),
          node('Expand', ['a', 'e'], ['b']),
          node('MatMul', ['b', 'w'], ['y']),
        ],
        inputs: [x, integer('s', [3]), integer('e', [3])],
        outputs: [y],
        constants: [floats('w', [24, 2])],
      }),
    )
    expect(structure.inputHints).toMatchObject({ s: { elements: [1, 1, -1] } })
  })

  it('categories in every row, each of its own column', async () => {
    const [, words] = cases.find(([title]) => title === 'categories, by column')!
    const values = valuesOf(await analysisOf(domains(words)), 't')
    expect(new Set(values.filter((_, at) => at % 2 === 0))).toEqual(new Set(['red', 'green']))
    expect(new Set(values.filter((_, at) => at % 2 === 1))).toEqual(new Set(['S', 'M', 'L']))
  })
})

describe('a mask hides nothing', () => {
  const ids = (type: DataType) => value('m', [2, 12], type)
  const far = floats('far', [1], [-10_000])
  const attention = (nodes: GraphWords['nodes'], type: DataType, constants = [far]): ModelProto =>
    model({
      nodes: [...nodes, node('Softmax', ['s'], ['y'], { axis: 1 })],
      inputs: [x, ids(type)],
      outputs: [y],
      constants,
    })
  const one = floats('one', [1], [1])
  const cases: [string, ModelProto, number][] = [
    [
      '(1 - mask) * -10000 is added',
      attention(
        [
          node('Cast', ['m'], ['f'], { to: 1 }),
          node('Sub', ['one', 'f'], ['hidden']),
          node('Mul', ['hidden', 'far'], ['bias']),
          node('Add', ['x', 'bias'], ['s']),
        ],
        INT64,
        [far, one],
      ),
      1,
    ],
    ['Where keeps what it marks', attention([node('Where', ['m', 'x', 'far'], ['s'])], BOOL), 1],
    ['Where hides what it marks', attention([node('Where', ['m', 'far', 'x'], ['s'])], BOOL), 0],
    [
      'Where hides what is not marked',
      attention([node('Not', ['m'], ['n']), node('Where', ['n', 'far', 'x'], ['s'])], BOOL),
      1,
    ],
  ]
  it.each(cases)('%s', async (_, given, expected) => {
    const values = valuesOf(await analysisOf(given), 'm')
    expect(new Set(values)).toEqual(new Set([expected]))
  })

  it('known by its name alone', async () => {
    const named = (name: string, type: DataType) => value(name, [2, 12], type)
    const structure = await analysisOf(
      model({
        nodes: [
          node('Cast', ['attention_mask'], ['f'], { to: 1 }),
          node('Mul', ['x', 'f'], ['h']),
          node('Add', ['h', 'bias_mask'], ['y']),
        ],
        inputs: [x, named('attention_mask', INT64), named('bias_mask', DataType.FLOAT)],
        outputs: [y],
      }),
    )
    expect(new Set(valuesOf(structure, 'attention_mask'))).toEqual(new Set([1]))
    expect(new Set(valuesOf(structure, 'bias_mask'))).toEqual(new Set([0]))
  })
})

it('lengths are those of the sequences', async () => {
  const structure = await analysisOf(
    model({
      nodes: [
        node('Cast', ['audio_lengths'], ['f'], { to: 1 }),
        node('ReduceMean', ['audio'], ['m']),
        node('Div', ['m', 'f'], ['y']),
      ],
      inputs: [value('audio', [1, 400]), value('audio_lengths', [1], INT64)],
      outputs: [y],
    }),
  )
  expect(valuesOf(structure, 'audio_lengths')).toEqual([400])
})

it('a branch for an empty cache is taken where the cache is empty', async () => {
  const branch = (name: string, nodes: GraphWords['nodes']) =>
    graph({ nodes, outputs: [value(`${name}:out`, undefined)] }, name)
  const structure = await analysisOf(
    model({
      nodes: [
        node('If', ['use_cache'], ['y'], {
          then_branch: branch('then', [node('Gather', ['past', 'zero'], ['then:out'])]),
          else_branch: branch('else', [node('Identity', ['x'], ['else:out'])]),
        }),
      ],
      inputs: [x, value('past', ['length', 12]), value('use_cache', [1], BOOL)],
      outputs: [y],
      constants: [ints('zero', [0])],
    }),
    { past: [0, 12] },
  )
  expect(structure.inputHints).toMatchObject({ use_cache: { value: 0 } })
})

it('a refusal names the inputs whose values may matter, and the way to give them', async () => {
  const refused = analysisOf(
    model({
      nodes: [
        node('Add', ['z', 'z'], ['unrelated']),
        node('Reshape', ['x', 'target'], ['t']),
        node('Concat', ['t', 'w'], ['p'], { axis: 0 }),
        node('Add', ['p', 'unrelated'], ['y']),
      ],
      inputs: [x, value('target', [2], INT64), value('z', [1])],
      outputs: [y],
      constants: [floats('w', [1, 8])],
    }),
  )
  const error = await refused.catch((thrown: unknown) => thrown)
  expect(error).toBeInstanceOf(ScissionError)
  expect(error).toMatchObject({ code: 'invalidModel', details: { inputs: ['target'] } })
  expect(String(error)).toMatch(/Concat.*if "target" \(INT64 \[2\]\) must have particular values.*--samples/)
})
