import fs from 'node:fs'
import path from 'node:path'
import { create, toBinary } from '@bufbuild/protobuf'
import { describe, expect, it } from 'vitest'
import { INLINE_PAYLOAD_BYTES, readSkeleton } from '../../shared/onnx/wire/skeleton.ts'
import { isExternal, referenceOf } from '../../shared/onnx/wire/external-data.ts'
import {
  AttributeProto_AttributeType,
  AttributeProtoSchema,
  FunctionProtoSchema,
  ModelProtoSchema,
  StringStringEntryProtoSchema,
  type TensorProto,
  TensorProto_DataLocation,
  TensorProtoSchema,
} from '../../shared/onnx/proto/onnx_pb.ts'
import { rawBytes } from '../../shared/onnx/wire/tensor-data.ts'
import { DataType, encode, floats, graph, model, node, value } from './support/build.ts'
import { fileOf } from './support/models.ts'

describe('the skeleton of a model', () => {
  it('leaves large payloads in the file and says exactly where they are', () => {
    const weights = floats('w', [300, 4])
    const at = fileOf(
      model({
        nodes: [node('MatMul', ['x', 'w'], ['y'])],
        inputs: [value('x', [1, 300])],
        outputs: [value('y', undefined)],
        constants: [weights, floats('small', [2])],
      }),
    )
    const { model: skeleton } = readSkeleton(path.join(at.dir, at.file))
    const [large, small] = skeleton.graph?.initializer ?? []
    expect(large && isExternal(large)).toBe(true)
    expect(small && isExternal(small)).toBe(false)
    const { location, offset, length } = referenceOf(large!)
    expect(location).toBe('model.onnx')
    const bytes = fs.readFileSync(path.join(at.dir, at.file)).subarray(offset, offset + (length ?? 0))
    expect(Buffer.from(weights.rawData).equals(bytes)).toBe(true)
  })

  it('keeps fields that are not in onnx.proto, but not to describe a model, which needs names only', () => {
    const stringData = ['a', 'b'].map((text) => new TextEncoder().encode(text))
    const known = model({
      nodes: [node('Relu', ['x'], ['y'])],
      inputs: [value('x', [1])],
      outputs: [value('y', undefined)],
      constants: [
        create(TensorProtoSchema, { name: 's', dataType: DataType.STRING, dims: [2n], stringData }),
      ],
    })
    const unknown = Buffer.from([0x82, 0x01, 0x00])
    const at = fileOf(Buffer.concat([encode(known), ...Array.from({ length: 1000 }, () => unknown)]))
    const file = path.join(at.dir, at.file)
    const whole = readSkeleton(file)
    expect(whole.model.$unknown).toHaveLength(1000)
    expect(whole.graph.initializer).toMatchObject([{ name: 's', stringData }])
    const described = readSkeleton(file, { interfaceOnly: true })
    expect(described.model.$unknown).toBeUndefined()
    expect(described.graph.node).toEqual([])
    expect(described.graph.initializer).toMatchObject([{ name: 's', dims: [], stringData: [] }])
  })

  it('points at packed float_data and double_data too, whose bytes are the raw layout', () => {
    const given = Array.from({ length: 400 }, (_, i) => i / 8)
    const at = fileOf(
      model({
        nodes: [node('Add', ['x', 'f'], ['y'])],
        inputs: [value('x', [400])],
        outputs: [value('y', undefined)],
        constants: [
          create(TensorProtoSchema, { name: 'f', dataType: DataType.FLOAT, dims: [400n], floatData: given }),
          create(TensorProtoSchema, {
            name: 'd',
            dataType: DataType.DOUBLE,
            dims: [400n],
            doubleData: given,
          }),
        ],
      }),
    )
    const tensors = readSkeleton(path.join(at.dir, at.file)).model.graph?.initializer ?? []
    expect(tensors.map(isExternal)).toEqual([true, true])
    expect([...new Float32Array(rawBytes(tensors[0]!, at.dir).buffer)]).toEqual(given)
    expect([...new Float64Array(rawBytes(tensors[1]!, at.dir).buffer)]).toEqual(given)
  })

  it('reads large variable-length integers back from the file, negative ones and half precision included', () => {
    const count = 40_000
    const integers = Array.from({ length: count }, (_, i) => (i % 2 ? -i : i * 1000))
    const halves = Array.from({ length: count }, (_, i) => i % 65536)
    const wide = Array.from({ length: count }, (_, i) => BigInt(i) * -(2n ** 40n))
    const at = fileOf(
      model({
        nodes: [node('Identity', ['x'], ['y'])],
        inputs: [value('x', [1])],
        outputs: [value('y', undefined)],
        constants: [
          create(TensorProtoSchema, {
            name: 'i',
            dataType: DataType.INT32,
            dims: [40000n],
            int32Data: integers,
          }),
          create(TensorProtoSchema, {
            name: 'h',
            dataType: DataType.FLOAT16,
            dims: [40000n],
            int32Data: halves,
          }),
          create(TensorProtoSchema, { name: 'w', dataType: DataType.INT64, dims: [40000n], int64Data: wide }),
        ],
      }),
    )
    const tensors = readSkeleton(path.join(at.dir, at.file)).model.graph?.initializer ?? []
    expect(tensors.map(isExternal)).toEqual([true, true, true])
    expect([...new Int32Array(rawBytes(tensors[0]!, at.dir).buffer)]).toEqual(integers)
    expect([...new Uint16Array(rawBytes(tensors[1]!, at.dir).buffer)]).toEqual(halves)
    expect([...new BigInt64Array(rawBytes(tensors[2]!, at.dir).buffer)]).toEqual(wide)
  })

  it('finds payloads in Constant nodes and inside control-flow bodies', () => {
    const body = (name: string, bias: number) =>
      graph({
        nodes: [
          node('Constant', [], [`${name}/c`], { value: floats('', [1024], [bias]) }),
          node('Add', ['x', `${name}/c`], [`${name}/y`]),
        ],
        outputs: [value(`${name}/y`, [1024])],
      })
    const at = fileOf(
      model({
        nodes: [
          node('Constant', [], ['c'], { value: floats('', [1024]) }),
          node('If', ['flag'], ['z'], { then_branch: body('then', 1), else_branch: body('else', 2) }),
          node('Add', ['z', 'c'], ['y']),
        ],
        inputs: [value('x', [1024]), value('flag', [], DataType.BOOL)],
        outputs: [value('y', undefined)],
      }),
    )
    const { model: skeleton, fileBytes } = readSkeleton(path.join(at.dir, at.file))
    expect(fileBytes).toBeGreaterThan(3 * 4096)
    expect(toBinary(ModelProtoSchema, skeleton).length).toBeLessThan(2048)
  })

  it('finds payloads and references to other files in the default attributes of functions', () => {
    const large = floats('', [300, 4])
    const elsewhere = create(TensorProtoSchema, {
      dataType: DataType.FLOAT,
      dims: [1n],
      dataLocation: TensorProto_DataLocation.EXTERNAL,
      externalData: [{ key: 'location', value: '../elsewhere.bin' }],
    })
    const attribute = (name: string, t: TensorProto) =>
      create(AttributeProtoSchema, { name, type: AttributeProto_AttributeType.TENSOR, t })
    const functions = [
      create(FunctionProtoSchema, {
        name: 'f',
        attributeProto: [attribute('large', large), attribute('elsewhere', elsewhere)],
      }),
    ]
    const graphOf = {
      nodes: [node('Relu', ['x'], ['y'])],
      inputs: [value('x', [1])],
      outputs: [value('y', [1])],
    }
    const at = fileOf({ ...model(graphOf), functions })
    for (const options of [{}, { interfaceOnly: true }]) {
      const { external } = readSkeleton(path.join(at.dir, at.file), options)
      expect(external.map((tensor) => referenceOf(tensor).location)).toEqual(['../elsewhere.bin'])
    }
    const [found] = readSkeleton(path.join(at.dir, at.file)).model.functions[0]!.attributeProto
    expect(found?.t && isExternal(found.t)).toBe(true)
    expect(referenceOf(found!.t!)).toMatchObject({ location: 'model.onnx', length: 4800 })
  })

  it.each([
    ['small', 100_000, [1]],
    ['large', 50_000, [300]],
  ])('is read of a model with very many %s initializers', (_size, count, shape) => {
    const constants = Array.from({ length: count }, (_, index) => floats(`w${index}`, shape, [1]))
    const graphOf = { nodes: [], inputs: [value('x', [1])], outputs: [value('w0', shape)], constants }
    const at = fileOf(model(graphOf))
    for (const options of [{}, { interfaceOnly: true }])
      expect(readSkeleton(path.join(at.dir, at.file), options).graph.initializer).toHaveLength(count)
  })

  it('keeps fields that this program does not know', () => {
    const known = encode(
      model({
        nodes: [node('MatMul', ['x', 'w'], ['y'])],
        inputs: [value('x', [1, 300])],
        outputs: [value('y', undefined)],
        constants: [floats('w', [300, 4])],
      }),
    )
    // Field 100 of ModelProto, length-delimited.
    const extra = [0xa2, 0x06, 3, 7, 8, 9]
    const at = fileOf(Uint8Array.from([...known, ...extra]))
    const { model: skeleton } = readSkeleton(path.join(at.dir, at.file))
    expect([...toBinary(ModelProtoSchema, skeleton)].slice(-extra.length)).toEqual(extra)
  })

  it('holds nothing larger than the limit in memory, whatever the weights', () => {
    const at = fileOf(
      model({
        nodes: [node('MatMul', ['x', 'w'], ['y'])],
        inputs: [value('x', [1, 1000])],
        outputs: [value('y', undefined)],
        constants: [floats('w', [1000, 500])],
      }),
    )
    const { model: skeleton } = readSkeleton(path.join(at.dir, at.file))
    expect(toBinary(ModelProtoSchema, skeleton).length).toBeLessThan(INLINE_PAYLOAD_BYTES)
  })

  it('neither keeps nor counts texts about the model and declared types of inner tensors', () => {
    const text = 'File "model.py", line 1, in forward\n'.repeat(500)
    const unknown = (...nos: number[]) =>
      nos.map((no) => ({ no, wireType: 2, data: prefixed(new TextEncoder().encode(text)) }))
    const body = graph({ nodes: [node('Relu', ['x'], ['b'])], outputs: [value('b', [1])] })
    body.valueInfo = Array.from({ length: 500 }, (_, index) => value(`inner${index}`, [1]))
    body.$unknown = unknown(10, 16)
    const large = floats('large', [400])
    for (const tensor of [large, floats('small', [1])]) tensor.$unknown = unknown(12, 16)
    const given = model({
      nodes: [
        node('If', ['flag'], ['z'], { then_branch: body, else_branch: body }),
        node('Add', ['z', 'small'], ['y']),
      ],
      inputs: [value('x', [1]), value('flag', [], DataType.BOOL)],
      outputs: [value('y', undefined)],
      constants: [large, floats('small', [1])],
    })
    for (const one of given.graph!.node) one.$unknown = unknown(6, 9)
    for (const one of given.graph!.input) one.$unknown = unknown(3, 4)
    given.$unknown = unknown(6, 20)
    given.metadataProps = [create(StringStringEntryProtoSchema, { key: 'trace', value: text })]
    given.functions = [create(FunctionProtoSchema, { name: 'f', $unknown: unknown(8, 12, 14) })]
    const at = fileOf(given)
    const file = path.join(at.dir, at.file)
    expect(fs.statSync(file).size).toBeGreaterThan(300_000)
    for (const interfaceOnly of [false, true]) {
      const limits = { maxBytes: 3000, maxParts: 60 }
      const { model: skeleton } = readSkeleton(file, { interfaceOnly, limits })
      const bytes = toBinary(ModelProtoSchema, skeleton)
      expect(Buffer.from(bytes).includes('forward')).toBe(false)
      expect(bytes.length).toBeLessThan(1500)
    }
    const tensors = readSkeleton(file).graph.initializer
    expect(tensors.map((tensor) => Buffer.from(rawBytes(tensor, at.dir)).length)).toEqual([1600, 4])
  })
})

/** The bytes of a length-delimited field without its tag. */
function prefixed(bytes: Uint8Array): Uint8Array {
  return Buffer.concat([
    Uint8Array.of(0x80 | (bytes.length & 127), 0x80 | ((bytes.length >> 7) & 127), bytes.length >> 14),
    bytes,
  ])
}
