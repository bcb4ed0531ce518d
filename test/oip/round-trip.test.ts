import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { DATATYPES, type Datatype } from '../../shared/contracts/common.ts'
import { parseInferRequest, writeInferRequest } from '../../shared/oip/request-message.ts'
import { parseInferResponse, writeInferResponse } from '../../shared/oip/response-message.ts'
import { encodeElements } from '../../shared/oip/bytes-elements.ts'
import { ELEMENT_BYTES, elementCount, type Tensor } from '../../shared/contracts/tensor.ts'

const shapes = fc.array(fc.nat({ max: 4 }), { maxLength: 4 })
const join = (parts: readonly Uint8Array[]) => new Uint8Array(Buffer.concat(parts))

/** Tensors with any bytes: the binary form must not interpret them. */
function anyTensor(datatype: Datatype): fc.Arbitrary<Omit<Tensor, 'name'>> {
  return shapes.chain((shape): fc.Arbitrary<Omit<Tensor, 'name'>> => {
    const count = elementCount(shape)
    if (datatype === 'BYTES') {
      return fc
        .array(fc.uint8Array({ maxLength: 9 }), { minLength: count, maxLength: count })
        .map((elements) => ({ datatype, shape, bytes: encodeElements(elements) }))
    }
    const size = count * ELEMENT_BYTES[datatype]
    return fc
      .uint8Array({ minLength: size, maxLength: size })
      .map((bytes) => ({ datatype, shape, bytes: bytes.slice() }))
  })
}

const VALUES: Partial<Record<Datatype, (count: number) => fc.Arbitrary<Uint8Array>>> = {
  BOOL: (n) => fc.array(fc.boolean(), exactly(n)).map((values) => Uint8Array.from(values, Number)),
  FP32: (n) => fc.float32Array(exactly(n)).map((array) => raw(Float32Array.from(array))),
  FP64: (n) => fc.float64Array(exactly(n)).map((array) => raw(Float64Array.from(array))),
  BYTES: (n) =>
    fc
      .array(fc.string({ unit: 'binary', maxLength: 6 }), exactly(n))
      .map((texts) => encodeElements(texts.map((text) => Buffer.from(text)))),
}
const exactly = (n: number) => ({ minLength: n, maxLength: n })
const raw = (array: NodeJS.TypedArray) =>
  new Uint8Array(array.buffer, array.byteOffset, array.byteLength).slice()

/** Tensors whose values have a JSON form. */
function jsonTensor(datatype: Datatype): fc.Arbitrary<Omit<Tensor, 'name'>> {
  const values = VALUES[datatype]
  if (!values) return anyTensor(datatype)
  return shapes.chain((shape) => values(elementCount(shape)).map((bytes) => ({ datatype, shape, bytes })))
}

const isHalf = (datatype: Datatype) => datatype === 'FP16' || datatype === 'BF16'
const placed = fc.constantFrom(...DATATYPES).chain((datatype) =>
  fc.boolean().chain((wanted) => {
    const binary = wanted || isHalf(datatype)
    return (binary ? anyTensor(datatype) : jsonTensor(datatype)).map((tensor) => ({ ...tensor, binary }))
  }),
)
const parameter = fc.oneof(
  fc.string(),
  fc.boolean(),
  fc.integer(),
  fc.double({ noNaN: true, noDefaultInfinity: true }),
)
const parameters = fc
  .dictionary(fc.string({ maxLength: 8 }), parameter, { maxKeys: 3 })
  .map((given) =>
    Object.fromEntries(
      Object.entries(given).filter(([key, value]) => !key.startsWith('triton_') && !Object.is(value, -0)),
    ),
  )
const id = fc.option(fc.string(), { nil: undefined })

describe('writing and parsing a message', () => {
  it('gives a request back as it was, JSON and binary tensors mixed', () => {
    const requests = fc.record({ id, parameters, placed: fc.array(placed, { maxLength: 4 }) })
    fc.assert(
      fc.property(requests, (request) => {
        const inputs = request.placed.map((tensor, index) => ({
          name: `x${index}`,
          datatype: tensor.datatype,
          shape: tensor.shape,
          bytes: tensor.bytes,
          parameters: request.parameters,
        }))
        const isBinary = (input: Tensor) => request.placed[Number(input.name.slice(1))]?.binary ?? false
        const message = writeInferRequest(
          { id: request.id, parameters: request.parameters, inputs },
          isBinary,
        )
        const parsed = parseInferRequest(message.json, join(message.binary), 'm')
        expect(parsed.inputs).toEqual(inputs)
        expect(parsed.id).toBe(request.id)
        expect(parsed.parameters).toEqual(request.parameters)
      }),
      { numRuns: 300 },
    )
  })

  it('gives a response back as it was', () => {
    fc.assert(
      fc.property(fc.array(placed, { maxLength: 4 }), id, parameters, (given, id, parameters) => {
        const outputs = given.map(({ binary, ...tensor }, index) => ({
          tensor: { ...tensor, name: `y${index}`, parameters: {} },
          binary,
        }))
        const message = writeInferResponse({ modelName: 'm', modelVersion: '3', id, parameters, outputs })
        const parsed = parseInferResponse(message.json, join(message.binary))
        expect(parsed).toEqual({
          modelName: 'm',
          modelVersion: '3',
          id,
          parameters,
          outputs: outputs.map((output) => output.tensor),
        })
      }),
      { numRuns: 200 },
    )
  })

  it('refuses any damaged message with a client error, never another one', () => {
    const inputs = [
      { name: 'x', datatype: 'FP32' as const, shape: [2], bytes: raw(Float32Array.of(1, 2)) },
      {
        name: 's',
        datatype: 'BYTES' as const,
        shape: [2],
        bytes: encodeElements([Buffer.from('a'), Buffer.from('')]),
      },
    ]
    const message = writeInferRequest({ id: '1', inputs })
    const body = join([message.json, ...message.binary])
    const damage = fc.record({
      at: fc.nat({ max: body.length - 1 }),
      byte: fc.nat({ max: 255 }),
      cut: fc.nat({ max: 9 }),
    })
    fc.assert(
      fc.property(damage, ({ at, byte, cut }) => {
        const damaged = body.slice(0, body.length - cut)
        if (at < damaged.length) damaged[at] = byte
        try {
          parseInferRequest(
            damaged.subarray(0, message.json.length),
            damaged.subarray(message.json.length),
            'm',
          )
        } catch (error) {
          expect(error).toMatchObject({ name: 'ScissionError', status: 400 })
        }
      }),
      { numRuns: 1000 },
    )
  })
})
