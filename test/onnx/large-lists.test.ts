/** Long lists in attributes, of which encoders and tree ensembles consist: they stay encoded, in every model made of a file. */
import path from 'node:path'
import { create } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import {
  type AttributeProto,
  AttributeProto_AttributeType as Kind,
  AttributeProtoSchema,
  type ModelProto,
  OperatorSetIdProtoSchema,
} from '../../shared/onnx/proto/onnx_pb.ts'
import { describeModel, readSkeleton } from '../../shared/onnx/index.ts'
import { hasLargeLists, LISTS_ELSEWHERE, listsOf } from '../../shared/onnx/wire/large-lists.ts'
import { concatenate, encodeNumber } from '../../shared/onnx/wire/protobuf.ts'
import { DataType, encode, floats, model, node, value } from './support/build.ts'
import { analysed, fileOf } from './support/models.ts'
import { difference, inputsOf, operators, runFile, runPieces } from './support/run.ts'

const COUNT = 40_000
const numbers = Array.from({ length: COUNT }, (_, index) => index)
const TAG = { floats: 7 * 8 + 5, ints: 8 * 8 }

/** An attribute whose list is written element by element, each with its tag, as most exporters do. */
function unpacked(name: string, list: keyof typeof TAG): AttributeProto {
  const tag = TAG[list]
  const elements = numbers.flatMap((index) => [
    Uint8Array.of(tag),
    list === 'ints' ? encodeNumber(1, index).slice(1) : new Uint8Array(Float32Array.of(index / 4).buffer),
  ])
  const attribute = create(AttributeProtoSchema, { name, type: list === 'ints' ? Kind.INTS : Kind.FLOATS })
  // What the library does not know it writes as it is.
  attribute.$unknown = [{ no: tag >> 3, wireType: tag & 7, data: concatenate(elements).subarray(1) }]
  return attribute
}

/** The same as the library writes it: packed. */
const packed = () =>
  create(AttributeProtoSchema, { name: 'keys_int64s', type: Kind.INTS, ints: numbers.map(BigInt) })

function encoder(keys = unpacked('keys_int64s', 'ints')): ModelProto {
  const one = node('LabelEncoder', ['a'], ['b'], {}, { domain: 'ai.onnx.ml' })
  one.attribute = [keys, unpacked('values_floats', 'floats')]
  const made = model({
    nodes: [node('Abs', ['x'], ['a']), one, node('Mul', ['b', 'w'], ['c']), node('Neg', ['c'], ['y'])],
    inputs: [value('x', [4], DataType.INT64)],
    outputs: [value('y', undefined)],
    constants: [floats('w', [4])],
  })
  made.opsetImport.push(create(OperatorSetIdProtoSchema, { domain: 'ai.onnx.ml', version: 2n }))
  return made
}

const encoderIn = (at: { dir: string; file: string }) =>
  readSkeleton(path.join(at.dir, at.file)).graph.node.find(({ opType }) => opType === 'LabelEncoder')!

describe('long lists of attributes', () => {
  it.each([
    ['element by element', undefined],
    ['packed', packed()],
  ])('stay encoded, and can be read: %s', (_, keys) => {
    const read = encoderIn(fileOf(encoder(keys)))
    expect(hasLargeLists(read)).toBe(true)
    expect(read.attribute.map(({ ints, floats: made }) => ints.length + made.length)).toEqual([0, 0])
    expect(listsOf(read.attribute[0]!).ints.map(Number)).toEqual(numbers)
    expect(listsOf(read.attribute[1]!).floats).toEqual(numbers.map((index) => index / 4))
  })

  it('are the same in every piece of the model', async () => {
    const at = fileOf(encoder())
    const analysis = await analysed(at)
    expect(operators(analysis)).toEqual(['Abs', 'ai.onnx.ml::LabelEncoder', 'Mul', 'Neg'])
    expect(analysis.structure.warnings).toBeUndefined()
    expect(analysis.structure.boundaries.map(({ clean }) => clean)).toEqual([true, true, true, true, true])
    const inputs = inputsOf(analysis)
    const whole = await runFile(path.join(at.dir, at.file), inputs, 'all')
    expect(difference(await runPieces(analysis, [1, 2, 3], inputs, 'all'), whole)).toBe(0)
  })

  it('become a constant where a Constant node has them', async () => {
    const list = node('Constant', [], ['c'])
    list.attribute = [unpacked('value_floats', 'floats')]
    const analysis = await analysed(
      fileOf(
        model({
          nodes: [list, node('Add', ['x', 'c'], ['y'])],
          inputs: [value('x', [COUNT])],
          outputs: [value('y', undefined)],
        }),
      ),
    )
    expect(operators(analysis)).toEqual(['Add'])
    expect(analysis.structure.weightBytes).toBe(4 * COUNT)
  })

  it('count as the bytes that they have', async () => {
    const at = fileOf(encoder())
    const limits = { maxBytes: 100_000, maxParts: 1000 }
    await expect(describeModel(path.join(at.dir, at.file), limits)).rejects.toThrow(/more than 100000 bytes/)
  })

  it('are not taken from a field that a file has in their place', () => {
    const made = encoder()
    const own = create(AttributeProtoSchema, { name: 'own', type: Kind.INT, i: 3n })
    own.$unknown = [{ no: LISTS_ELSEWHERE, wireType: 0, data: Uint8Array.of(0) }]
    made.graph!.node[1]!.attribute.push(own)
    const read = encoderIn(fileOf(made)).attribute.at(-1)!
    expect(read.i).toBe(3n)
    expect(listsOf(read).ints).toEqual([])
  })

  it('break off with the place if the file is cut off in them', () => {
    const bytes = encode(encoder())
    expect(() => encoderIn(fileOf(bytes.subarray(0, bytes.length / 2)))).toThrow(/at byte \d+ of/)
  })
})
