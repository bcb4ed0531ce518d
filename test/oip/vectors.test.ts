/** The test vectors of the protocol text, byte for byte. */
import { describe, expect, it } from 'vitest'
import { messageHeaders } from '../../shared/oip/binary-message.ts'
import { parseInferRequest, writeInferRequest } from '../../shared/oip/request-message.ts'
import { writeInferResponse } from '../../shared/oip/response-message.ts'
import { decodeElements, encodeElements } from '../../shared/oip/bytes-elements.ts'

const bytes = (hex: string) => new Uint8Array(Buffer.from(hex.replaceAll(' ', ''), 'hex'))
const text = (json: Uint8Array) => new TextDecoder().decode(json)

describe('the protocol’s test vectors', () => {
  const json =
    '{"id":"42","inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}],' +
    '"outputs":[{"name":"y","parameters":{"binary_data":true}}]}'
  const tensor = bytes('0000803f 000020c0 00000000 00005040')

  it('read a request of 163 and 16 bytes', () => {
    const request = parseInferRequest(new TextEncoder().encode(json), tensor, 'm')
    expect(json).toHaveLength(163)
    expect(request).toEqual({
      id: '42',
      parameters: {},
      inputs: [{ name: 'x', shape: [1, 4], datatype: 'FP32', bytes: tensor, parameters: {} }],
      outputs: [{ name: 'y', binary: true, parameters: { binary_data: true } }],
      binaryOutput: false,
    })
    expect(request.inputs[0]?.bytes.buffer).toBe(tensor.buffer)
    expect([...new Float32Array(tensor.buffer)]).toEqual([1, -2.5, 0, 3.25])
  })

  it('write the response to it', () => {
    const y = { name: 'y', datatype: 'FP32' as const, shape: [3, 2], bytes: new Uint8Array(24) }
    const message = writeInferResponse({
      modelName: 'm',
      modelVersion: '1',
      id: '42',
      outputs: [{ tensor: y, binary: true }],
    })
    expect(text(message.json)).toBe(
      '{"model_name":"m","model_version":"1","id":"42",' +
        '"outputs":[{"name":"y","datatype":"FP32","shape":[3,2],"parameters":{"binary_data_size":24}}]}',
    )
    expect(message.binary[0]).toBe(y.bytes)
    expect(messageHeaders(message)).toEqual({
      'Content-Type': 'application/octet-stream',
      'Inference-Header-Content-Length': String(message.json.length),
    })
  })

  it('write three strings as 17 bytes', () => {
    const encoded = encodeElements(['cat', '', 'é'].map((word) => new TextEncoder().encode(word)))
    expect(encoded).toEqual(bytes('03000000636174 00000000 02000000c3a9'))
    expect(decodeElements(encoded, 'input').map(text)).toEqual(['cat', '', 'é'])
  })

  it('carry 1.5 as half precision', () => {
    const half = { name: 'h', datatype: 'FP16' as const, shape: [1], bytes: bytes('003e') }
    const message = writeInferRequest({ inputs: [half] })
    expect(message.binary[0]).toEqual(bytes('003e'))
    expect(() => writeInferRequest({ inputs: [half] }, () => false)).toThrow('binary data format')
  })

  it('count the JSON in bytes, not in characters', () => {
    const tensor = { name: 'größe', datatype: 'UINT8' as const, shape: [1], bytes: bytes('07') }
    const message = writeInferResponse({ modelName: 'm', outputs: [{ tensor, binary: true }] })
    const length = Number(messageHeaders(message)['Inference-Header-Content-Length'])
    expect(length).toBe(Buffer.byteLength(text(message.json)))
    expect(length).toBeGreaterThan(text(message.json).length)
  })

  it('say plain JSON when there are no tensor bytes', () => {
    const empty = { name: 'e', datatype: 'FP32' as const, shape: [0], bytes: new Uint8Array(0) }
    const message = writeInferResponse({ modelName: 'm', outputs: [{ tensor: empty, binary: true }] })
    expect(messageHeaders(message)).toEqual({ 'Content-Type': 'application/json' })
  })

  it('write -0 and what a float holds so that it comes back', () => {
    const values = Float32Array.of(-0, 0.1, 1e-45, 3.4e38)
    const tensor = { name: 'f', datatype: 'FP32' as const, shape: [4], bytes: new Uint8Array(values.buffer) }
    const message = writeInferRequest({ inputs: [tensor] }, () => false)
    const [read] = parseInferRequest(message.json, new Uint8Array(0), 'm').inputs
    expect(read?.bytes).toEqual(tensor.bytes)
  })
})
