import { deflateSync, gunzipSync, gzipSync, inflateSync } from 'node:zlib'
import { beforeEach, describe, expect, it } from 'vitest'
import type { Datatype } from '../../shared/contracts/common.ts'
import { encodeElements } from '../../shared/oip/bytes-elements.ts'
import { branched, PROTOCOL_TOYS, x } from './support/protocol-toys.ts'
import { call, errorOf, outputsOf, postBinary, postJson, splitAnswer } from './support/service.ts'
import { fp32Tensor } from './support/toy-models.ts'
import { withToyService } from './support/toy-service.ts'
import { until } from '../support/eventually.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const toy = withToyService(PROTOCOL_TOYS, { SCISSION_MAX_BODY_BYTES: '100000' })
const at = (path: string) => `${toy.service.url}/v2/models/${path}`

beforeEach(() => {
  toy.engine.runMs = 0
  toy.engine.runs.length = 0
})

describe('an inference request in JSON', () => {
  it('is answered with every output, its id and the model it ran', async () => {
    const answer = await postJson(at('branched/infer'), { id: '42', inputs: [x([1, -2.5])] })
    expect(answer.status).toBe(200)
    expect(answer.headers['content-type']).toContain('application/json')
    expect(answer.headers['inference-header-content-length']).toBeUndefined()
    expect(answer.json).toMatchObject({
      model_name: 'branched',
      model_version: '1',
      id: '42',
      outputs: [{ name: 'y', datatype: 'FP32', shape: [2], data: [6, 20] }],
    })
  })

  it('ends at its deadline while its layers are being loaded, which goes on', async () => {
    const go = toy.engine.holdLoads()
    const request = { inputs: [x([1, 2])], parameters: { timeout: 100_000 } }
    const answer = await postJson(at('branched:0-2/infer'), request)
    expect(answer.status).toBe(504)
    expect(errorOf(answer.json)).toMatch(/^loading \S+\.0-2: not done before its deadline$/)
    go()
    expect((await postJson(at('branched:0-2/infer'), { inputs: [x([1, 2])] })).status).toBe(200)
  })

  it('gets no id where it gave none', async () => {
    const answer = await postJson(at('branched/infer'), { inputs: [x([1, 2])] })
    expect(answer.json).not.toHaveProperty('id')
  })

  it('may give its data nested, flat or mixed, and members nobody knows', async () => {
    const infer = (data: unknown) =>
      postJson(at('linear/infer'), { extra: { deep: [1] }, inputs: [x(data, { shape: [1, 4], more: true })] })
    for (const data of [
      [1, 2, 3, 4],
      [[1, 2, 3, 4]],
      [
        [1, 2],
        [3, [4]],
      ],
    ]) {
      const { json } = await infer(data)
      expect(outputsOf(json)[0]?.data).toEqual([1, 2, 3, 4])
    }
  })

  it('can address a model by id, by name@version and under its version', async () => {
    const request = { inputs: [x([1, 2])] }
    for (const path of [`${branched.model.id}/infer`, 'branched@1/infer', 'branched/versions/1/infer']) {
      const answer = await postJson(at(path), request)
      expect([path, answer.status]).toEqual([path, 200])
      expect(outputsOf(answer.json)[0]?.data).toEqual([6, 20])
    }
  })

  it('keeps 64-bit integers exact, beyond what a double holds', async () => {
    const body =
      '{"inputs":[{"name":"x","shape":[2],"datatype":"INT64","data":[9223372036854775807,-9007199254740993]}]}'
    const answer = await call('POST', at('long/infer'), body)
    expect(answer.body.toString()).toContain('"data":[9223372036854775807,-9007199254740993]')
  })

  it('takes and gives every datatype that JSON can express', async () => {
    const given: Partial<Record<Datatype, unknown[]>> = {
      BOOL: [true, false, true, true],
      UINT8: [0, 1, 2, 255],
      UINT16: [0, 1, 2, 65_535],
      UINT32: [0, 1, 2, 4_294_967_295],
      UINT64: [0, 1, 2, 3],
      INT8: [-128, 0, 1, 127],
      INT16: [-32_768, 0, 1, 32_767],
      INT32: [-2_147_483_648, 0, 1, 2_147_483_647],
      INT64: [-1, 0, 1, 2],
      FP32: [1.5, -0.25, 0, 1e10],
      FP64: [0.1, -2.5, 0, 1e300],
      BYTES: ['cat', '', 'é', '\u0000'],
    }
    const names = Object.keys(given) as Datatype[]
    const inputs = names.map((datatype) => ({
      name: `x_${datatype.toLowerCase()}`,
      shape: [2, 2],
      datatype,
      data: given[datatype],
    }))
    const half = ['fp16', 'bf16'].map((type) => ({
      name: `x_${type}`,
      shape: [2, 2],
      datatype: type.toUpperCase(),
      parameters: { binary_data_size: 8 },
    }))
    const outputs = names.map((datatype) => ({ name: `y_${datatype.toLowerCase()}` }))
    const answer = await postBinary(
      at('every-type/infer'),
      { inputs: [...inputs, ...half], outputs },
      Buffer.alloc(16),
    )
    expect(answer.status).toBe(200)
    expect(outputsOf(answer.json).map((output) => output.data)).toEqual(names.map((name) => given[name]))
  })

  it('may ask for some outputs, in its own order', async () => {
    const answer = await postJson(at('branched/layers/1-3/infer'), { inputs: [{ ...x([2, 4]), name: 'a' }] })
    expect(outputsOf(answer.json).map((output) => output.name)).toEqual(['y'])
    const boundary = await postJson(at('branched/layers/0-2/infer'), {
      inputs: [x([1, 2])],
      outputs: [{ name: 'b' }, { name: 'a' }],
    })
    expect(outputsOf(boundary.json).map((output) => [output.name, output.data])).toEqual([
      ['b', [3, 5]],
      ['a', [2, 4]],
    ])
  })
})

describe('an inference request with binary tensors', () => {
  const bytes = Buffer.from('0000803f000020c00000000000005040', 'hex')
  const vector =
    '{"id":"42","inputs":[{"name":"x","shape":[1,4],"datatype":"FP32","parameters":{"binary_data_size":16}}],' +
    '"outputs":[{"name":"y","parameters":{"binary_data":true}}]}'

  it('is the 163 + 16 bytes of the protocol text, answered in kind', async () => {
    expect(vector.length).toBe(163)
    const answer = await postBinary(at('linear/infer'), vector, bytes)
    const { json, tensors } = splitAnswer(answer)
    expect(answer.headers['content-type']).toContain('application/octet-stream')
    expect(tensors).toEqual(bytes)
    expect(json).toMatchObject({
      id: '42',
      outputs: [{ name: 'y', datatype: 'FP32', shape: [1, 4], parameters: { binary_data_size: 16 } }],
    })
  })

  it('hands the tensor on in memory of its own that can be moved to another thread', async () => {
    await postBinary(at('linear/infer'), vector, bytes)
    expect(toy.engine.runs[0]?.ownMemory).toBe(true)
  })

  it('may mix JSON and binary inputs, and choose the form of each output', async () => {
    const inputs = [
      { name: 'a', shape: [2], datatype: 'FP32', data: [2, 4] },
      { name: 'b', shape: [2], datatype: 'FP32', parameters: { binary_data_size: 8 } },
    ]
    const b = fp32Tensor('b', [3, 5]).bytes
    const answer = await postBinary(
      at('branched/layers/2-2/infer'),
      {
        parameters: { binary_data_output: true },
        inputs,
        outputs: [{ name: 'a', parameters: { binary_data: false } }, { name: 'b' }],
      },
      b,
    )
    const { json, tensors } = splitAnswer(answer)
    expect(outputsOf(json)[0]).toMatchObject({ name: 'a', data: [2, 4] })
    expect(outputsOf(json)[1]).toMatchObject({ name: 'b', parameters: { binary_data_size: 8 } })
    expect(tensors).toEqual(Buffer.from(b))
  })

  it('carries every datatype', async () => {
    const sizes = {
      BOOL: 1,
      UINT8: 1,
      INT8: 1,
      UINT16: 2,
      INT16: 2,
      FP16: 2,
      BF16: 2,
      UINT32: 4,
      INT32: 4,
      FP32: 4,
    }
    const wide = { UINT64: 8, INT64: 8, FP64: 8 }
    const strings = encodeElements(['cat', '', 'é', 'x'].map((text) => Buffer.from(text)))
    const parts = Object.entries({ ...sizes, ...wide })
      .map(([datatype, size]) => ({ datatype, bytes: Buffer.alloc(size * 4, 0x01) }))
      .concat([{ datatype: 'BYTES', bytes: Buffer.from(strings) }])
    const inputs = parts.map(({ datatype, bytes }) => ({
      name: `x_${datatype.toLowerCase()}`,
      shape: [2, 2],
      datatype,
      parameters: { binary_data_size: bytes.length },
    }))
    const body = Buffer.concat(parts.map((part) => part.bytes))
    const request = {
      parameters: { binary_data_output: true },
      inputs,
      outputs: parts.map(({ datatype }) => ({ name: `y_${datatype.toLowerCase()}` })),
    }
    const answer = await postBinary(at('every-type/infer'), request, body)
    expect(answer.status).toBe(200)
    expect(splitAnswer(answer).tensors).toEqual(body)
  })

  it('may have a tensor without elements', async () => {
    const input = { name: 'x', shape: [0, 3], datatype: 'FP32' }
    for (const form of [{ data: [] }, { parameters: { binary_data_size: 0 } }]) {
      const answer = await postBinary(at('empty/infer'), { inputs: [{ ...input, ...form }] }, Buffer.alloc(0))
      expect(outputsOf(answer.json)).toMatchObject([{ name: 'y', shape: [0, 3], data: [] }])
    }
  })

  it('may be one raw tensor when the model has one input', async () => {
    const raw = (path: string, body: Uint8Array) =>
      call('POST', at(path), body, { 'Inference-Header-Content-Length': '0' })
    const answer = await raw('linear/infer', bytes)
    expect(splitAnswer(answer).tensors).toEqual(bytes)
    const deduced = await raw('open/infer', bytes)
    expect(outputsOf(splitAnswer(deduced).json)[0]).toMatchObject({ shape: [2, 2] })
    const word = Buffer.from(encodeElements([Buffer.from('cat')]))
    expect(splitAnswer(await raw('words/infer', word)).tensors).toEqual(word)
    expect((await raw('every-type/infer', bytes)).status).toBe(400)
    expect(errorOf((await raw('linear/infer', bytes.subarray(1))).json)).toContain('do not fit shape [1,4]')
  })

  it('may be compressed, and so may the answer; lengths stay those of the plain bytes', async () => {
    for (const [encoding, pack, unpack] of [
      ['gzip', gzipSync, gunzipSync],
      ['deflate', deflateSync, inflateSync],
    ] as const) {
      const answer = await call(
        'POST',
        at('linear/infer'),
        pack(Buffer.concat([Buffer.from(vector), bytes])),
        {
          'Content-Encoding': encoding,
          'Accept-Encoding': encoding,
          'Inference-Header-Content-Length': '163',
        },
      )
      expect(answer.headers['content-encoding']).toBe(encoding)
      expect(splitAnswer({ ...answer, body: unpack(answer.body) }).tensors).toEqual(bytes)
    }
  })
})

describe('a client that leaves', () => {
  it('has its run aborted', async () => {
    toy.engine.runMs = 3_600_000
    const controller = new AbortController()
    const pending = fetch(at('branched/infer'), {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ inputs: [x([1, 2])] }),
      signal: controller.signal,
    })
    await until(async () => toy.engine.runs.length === 1)
    controller.abort()
    await expect(pending).rejects.toThrow()
    await until(async () => toy.engine.runs[0]?.aborted === true)
  })
})
