import fs from 'node:fs'
import path from 'node:path'
import { create } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import type { InputShapes } from '../../shared/contracts/common.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import {
  setReference,
  DataType,
  encode,
  floats,
  graph,
  ints,
  model,
  node,
  untyped,
  value,
} from './support/build.ts'
import { analyse, describeModel } from '../../shared/onnx/index.ts'
import { type ModelProto, TensorProtoSchema } from '../../shared/onnx/proto/onnx_pb.ts'
import { needsFiles, own, thirdPartyFile } from '../support/test-models.ts'
import { copyOf, fileOf, NO_ID } from './support/models.ts'
import { operators, piecewise } from './support/run.ts'

async function refusalOf(
  at: { dir: string; file: string },
  inputShapes?: InputShapes,
): Promise<ScissionError> {
  const error = await analyse({ ...at, model: NO_ID, inputShapes }).then(
    () => undefined,
    (thrown: unknown) => thrown,
  )
  expect(error).toBeInstanceOf(ScissionError)
  // Nothing is left behind.
  expect(fs.readdirSync(at.dir).filter((name) => name.startsWith('.'))).toEqual([])
  return error as ScissionError
}

async function says(given: ModelProto | Uint8Array, ...texts: string[]): Promise<void> {
  const error = await refusalOf(fileOf(given))
  expect(error.code).toBe('invalidModel')
  for (const text of texts) expect(error.message).toContain(text)
}

const x = value('x', [2, 3])
const y = value('y', undefined)

describe('a file that is no model', () => {
  it.each([
    ['nothing', new Uint8Array(0), 'the file is empty'],
    [
      'a Git LFS pointer',
      Buffer.from('version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 5\n'),
      'git lfs pull',
    ],
    ['a zip archive', Buffer.from('PK\x03\x04rest'), 'zip archive'],
    ['an HDF5 file', Buffer.from('\x89HDF\r\n\x1a\n', 'latin1'), 'HDF5'],
    ['a web page', Buffer.from('<!DOCTYPE html><html>'), 'web page'],
    ['JSON', Buffer.from('{"a": 1}'), 'JSON text'],
    ['text', Buffer.from('hello, this is a text\n'.repeat(10)), 'not a valid ONNX file'],
    ['zeros', new Uint8Array(5000), 'field number 0'],
    ['a message without a graph', Uint8Array.of(8, 7), 'holds no graph'],
  ])('is called what it is: %s', async (_, bytes, text) => {
    await says(bytes, text)
    const at = fileOf(bytes)
    await expect(describeModel(path.join(at.dir, at.file))).rejects.toThrow(text)
  })

  it('is refused where it breaks off, with the place', async () => {
    const whole = encode(
      model({
        nodes: [node('MatMul', ['x', 'w'], ['y'])],
        inputs: [x],
        outputs: [y],
        constants: [floats('w', [3, 400])],
      }),
    )
    await says(whole.subarray(0, 3000), 'a declared length of', 'the file is cut off')
  })

  it('is refused when a length is beyond all bounds', async () => {
    // Field 7 (graph), length 2^62.
    await says(
      Uint8Array.of(0x3a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40),
      'a declared length of',
    )
  })

  it('is refused when it is nested too deeply', async () => {
    let inner = graph({ nodes: [node('Relu', ['x'], ['d'])], outputs: [untyped('d')] })
    for (let depth = 0; depth < 60; depth++) {
      inner = graph({
        nodes: [
          node('If', ['c'], ['d'], { then_branch: inner, else_branch: graph({ nodes: [], outputs: [] }) }),
        ],
        outputs: [untyped('d')],
      })
    }
    await says(model({ nodes: [...inner.node], inputs: [x], outputs: [y] }), 'nested deeper than')
  })

  it.each([
    ['parts', 0x0a, { maxBytes: 10_000_000, maxParts: 500_000 }, 'more than 500000 parts', 'STRUCTURE_PARTS'],
    [
      'unknown fields',
      0x3a,
      { maxBytes: 1_000_000, maxParts: 10 },
      'more than 1000000 bytes',
      'STRUCTURE_BYTES',
    ],
    ['texts that are skipped', 0x52, { maxBytes: 1_000_000, maxParts: 10 }, '1000002 were found', '_BYTES'],
  ])('is refused when it is made of millions of empty %s', async (_, tag, limits, ...texts) => {
    const empty = Buffer.alloc(1_200_000)
    for (let at = 0; at < empty.length; at += 2) empty[at] = tag
    const length = [0x80 | (empty.length & 127), 0x80 | ((empty.length >> 7) & 127), empty.length >> 14]
    const at = fileOf(Buffer.concat([Uint8Array.of(0x3a, ...length), empty]))
    const error = await describeModel(path.join(at.dir, at.file), limits).catch((thrown: unknown) => thrown)
    expect(error).toMatchObject({ code: 'payloadTooLarge' })
    for (const text of texts) expect(String(error)).toContain(text)
  })
})

describe('a graph that makes no sense', () => {
  const words = { inputs: [x], outputs: [y] }

  it.each([
    [
      'a cycle',
      [node('Add', ['x', 'b'], ['a']), node('Relu', ['a'], ['b']), node('Neg', ['b'], ['y'])],
      'has a cycle',
      '"Add:a" needs its own output "a"',
    ],
    [
      'an undefined tensor',
      [node('Add', ['x', 'ghost'], ['y'])],
      'node Add "Add:y" reads the tensor "ghost"',
      'nothing makes',
    ],
    [
      'two makers of a tensor',
      [node('Relu', ['x'], ['y']), node('Neg', ['x'], ['y'])],
      '"y" is defined twice',
      'Neg "Neg:y"',
    ],
    [
      'a node that makes an input',
      [node('Relu', ['x'], ['x']), node('Neg', ['x'], ['y'])],
      '"x" is defined twice',
      'a graph input',
    ],
    ['an output that nothing makes', [node('Relu', ['x'], ['z'])], 'output "y" is made by nothing', ''],
    ['an operator without a name', [node('', ['x'], ['y'])], 'names no operator', '":y"'],
    [
      'an unknown operator',
      [node('Frobnicate', ['x'], ['y'])],
      'Frobnicate',
      'ONNX Runtime refuses the model',
    ],
    ['an operator of an unknown domain', [node('Foo', ['x'], ['y'], {}, { domain: 'acme' })], 'acme', ''],
    ['shapes that do not fit', [node('MatMul', ['x', 'x'], ['y'])], 'MatMul:y', 'ncompatible dimensions'],
    ['a missing input', [node('Add', ['x'], ['y'])], 'Add:y', ''],
  ])('is refused: %s', async (_, nodes, text, other) => {
    await says(model({ ...words, nodes }), text, other)
  })

  it('is refused when a control-flow body reads what nothing makes', async () => {
    const body = graph({ nodes: [node('Add', ['x', 'ghost'], ['z'])], outputs: [value('z', [2, 3])] })
    const nodes = [node('If', ['c'], ['y'], { then_branch: body, else_branch: body })]
    const inputs = [x, value('c', [], DataType.BOOL)]
    await says(model({ ...words, inputs, nodes }), 'node Add "Add:z" reads the tensor "ghost"')
  })

  it('is refused without an output, without a typed output, and with an output listed twice', async () => {
    const nodes = [node('Relu', ['x'], ['y'])]
    await says(model({ nodes, inputs: [x], outputs: [] }), 'no output')
    await says(
      model({ nodes, inputs: [x], outputs: [untyped('y')] }),
      'output "y" declares no type',
      'onnx.shape_inference',
    )
    await says(model({ nodes, inputs: [x], outputs: [y, y] }), 'output "y" is listed twice')
  })

  it('is refused without opset_import', async () => {
    const bare = model({ ...words, nodes: [node('Relu', ['x'], ['y'])] })
    bare.opsetImport = []
    await says(bare, 'no opset_import')
    const at = fileOf(bare)
    await expect(describeModel(path.join(at.dir, at.file))).rejects.toThrow('no opset_import')
  })

  it('is refused when it loads but does not run, with the reason', async () => {
    const nodes = [
      node('NonZero', ['x'], ['places']),
      node('Shape', ['places'], ['shape']),
      node('Reshape', ['x', 'shape'], ['y']),
    ]
    await says(model({ ...words, nodes }), 'the model loads but does not run', 'Reshape')
  })
})

describe('a tensor that makes no sense', () => {
  const refused = (tensor: ReturnType<typeof floats>, ...texts: string[]) =>
    says(
      model({ nodes: [node('Add', ['x', 'w'], ['y'])], inputs: [x], outputs: [y], constants: [tensor] }),
      'tensor "w"',
      ...texts,
    )
  const weights = (fields: Parameters<typeof create<typeof TensorProtoSchema>>[1]) =>
    create(TensorProtoSchema, { name: 'w', dataType: DataType.FLOAT, dims: [3n], ...fields })

  it('is refused with its name, whatever is wrong with it', async () => {
    await refused(weights({ rawData: new Uint8Array(11) }), 'holds 11 bytes', '[3] of FLOAT needs 12')
    await refused(weights({ floatData: [1, 2] }), 'holds 2 values', 'needs 3')
    await refused(weights({ dims: [-3n], floatData: [1] }), 'impossible shape [-3]')
    await refused(weights({ dims: [2n ** 40n, 2n ** 40n] }), 'impossible shape')
    await refused(weights({ dims: [2n ** 62n] }), 'impossible shape')
    await refused(weights({ dataType: 99, rawData: new Uint8Array(12) }), 'unknown element type 99')
    await refused(weights({ dataType: 0, rawData: new Uint8Array(12) }), 'unknown element type 0')
  })

  it.each([10, 100_000, 2 ** 40])(
    'is refused with more or fewer packed integers than its shape has: %d',
    async (size) => {
      const packed = create(TensorProtoSchema, {
        name: 'c',
        dataType: DataType.INT32,
        dims: [BigInt(size)],
        int32Data: Array.from({ length: 70_000 }, () => 1),
      })
      const nodes = [node('Cast', ['c'], ['f'], { to: 1 }), node('Add', ['x', 'f'], ['y'])]
      await says(
        model({ nodes, inputs: [x], outputs: [y], constants: [packed] }),
        'tensor "c" holds',
        'its shape has',
      )
    },
  )

  it('is refused with its node when it is a node’s', async () => {
    const shape = create(TensorProtoSchema, { dataType: DataType.INT64, dims: [4n], int64Data: [1n] })
    const nodes = [
      node('Constant', [], ['c'], { value: shape }, { name: 'konst' }),
      node('Add', ['x', 'c'], ['y']),
    ]
    await says(model({ nodes, inputs: [x], outputs: [y] }), 'tensor "konst/value"', 'holds 1 values')
  })

  // ONNX Runtime takes the first of them, or the last if they are small.
  it.each([
    ['other numbers', floats('w', [3], [1, 2, 4])],
    ['another shape', floats('w', [1, 3], [1, 2, 3])],
    ['another type', ints('w', [1, 2, 3])],
  ])('is refused when it is defined twice with %s', async (_, other) => {
    const constants = [floats('w', [3], [1, 2, 3]), other]
    await says(
      model({ nodes: [node('Add', ['x', 'w'], ['y'])], inputs: [x], outputs: [y], constants }),
      '"w" is defined twice',
      'rename or remove one',
    )
  })

  it.each([3, 3000])('may stand in the file twice, if both are equal: %i numbers', async (count) => {
    const constants = [floats('w', [count]), floats('w', [count])]
    const nodes = [node('Relu', ['x'], ['h']), node('Add', ['h', 'w'], ['y'])]
    const analysis = await piecewise(model({ nodes, inputs: [value('x', [2, 1])], outputs: [y], constants }))
    expect(operators(analysis)).toEqual(['Relu', 'Add'])
  })
})

describe('external data', () => {
  function pointing(location: string, offset = 0, length = 8000) {
    const tensor = create(TensorProtoSchema, { name: 'w', dataType: DataType.FLOAT, dims: [20n, 100n] })
    setReference(tensor, location, offset, length)
    const nodes = [node('MatMul', ['x', 'w'], ['y'])]
    const at = fileOf(model({ nodes, inputs: [value('x', [1, 20])], outputs: [y], constants: [tensor] }))
    fs.writeFileSync(path.join(at.dir, 'weights.bin'), Buffer.alloc(8000))
    return at
  }

  it.each([
    ['/etc/passwd', 'is an absolute path'],
    ['../weights.bin', "leads out of the model's folder"],
    ['a/../../weights.bin', "leads out of the model's folder"],
    ['..\\weights.bin', 'contains a backslash'],
    ['C:/weights.bin', 'is an absolute path'],
    ['other.bin', 'is in the file "other.bin", which is missing: upload it with the model'],
    ['', 'names no location'],
  ])('is refused at %j', async (location, text) => {
    const error = await refusalOf(pointing(location))
    expect(error.code).toBe('invalidModel')
    expect(error.message).toContain('external data of tensor "w"')
    expect(error.message).toContain(text)
  })

  it.each([
    [4, 8000, 'reaches past the end of "weights.bin": bytes 4 to 8004 of 8000'],
    [9000, 8000, 'reaches past the end'],
    [0, 4000, 'is 4000 bytes long, its shape and type need 8000'],
  ])('is refused at offset %i with length %i', async (offset, length, text) => {
    expect((await refusalOf(pointing('weights.bin', offset, length))).message).toContain(text)
  })

  it('is refused behind a link that leads out of the folder', async () => {
    const at = pointing('link.bin')
    const elsewhere = pointing('weights.bin')
    fs.symlinkSync(path.join(elsewhere.dir, 'weights.bin'), path.join(at.dir, 'link.bin'))
    expect((await refusalOf(at)).message).toContain('a link that leads out')
  })

  it('is refused with offsets that are no numbers', async () => {
    const at = pointing('weights.bin', -1)
    expect((await refusalOf(at)).message).toContain('has the offset "-1"')
  })

  it('is listed before the files are there, so that an upload can bring them', async () => {
    const at = pointing('elsewhere/weights.bin')
    const { externalFiles } = await describeModel(path.join(at.dir, at.file))
    expect(externalFiles).toEqual(['elsewhere/weights.bin'])
    const bad = pointing('../../secret')
    await expect(describeModel(path.join(bad.dir, bad.file))).rejects.toThrow(
      "leads out of the model's folder",
    )
  })
})

describe('files that do not work', () => {
  it.each(own.refused)('are refused with the reason: $name', async ({ file, error, shapes }) => {
    const refused = await refusalOf(copyOf(file), shapes)
    expect(refused.code).toBe('invalidModel')
    expect(refused.message).toContain(error)
  })
})

const REFUSED_FILES: [name: string, shapes: InputShapes | undefined, text: string][] = [
  ['git_lfs_pointer.onnx', undefined, 'Git LFS pointer'],
  ['no_opset_import__candy.onnx', undefined, 'no opset_import'],
  ['unknown_op_map_output__pcb-aoi.onnx', undefined, 'output "loss" is a map'],
  ['bad_shapes__starry-night-fp16.onnx', undefined, 'Incompatible dimensions'],
  ['fails_at_run_only__test_model_0_no_opt.onnx', { input_1: [1, 200, 320] }, 'Test/concat_1_concat'],
]

describe(
  'real files that do not work',
  needsFiles(...REFUSED_FILES.map(([name]) => `negative/${name}`)),
  () => {
    it.each(REFUSED_FILES)('are refused with the reason: %s', async (name, inputShapes, text) => {
      const at = copyOf(thirdPartyFile(`negative/${name}`))
      await expect(analyse({ ...at, model: NO_ID, inputShapes })).rejects.toThrow(text)
      await expect(analyse({ ...at, model: NO_ID, inputShapes })).rejects.toMatchObject({
        code: 'invalidModel',
      })
    })
  },
)
