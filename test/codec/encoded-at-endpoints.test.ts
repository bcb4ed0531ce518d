/** Encoded tensors at the addresses of clients: what a hop may send, a client may send, and the answer may be encoded too. */
import fc from 'fast-check'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type CodedTensor, codecOf } from '../../shared/codec/index.ts'
import { elementCount, type Tensor } from '../../shared/contracts/tensor.ts'
import type { Parameters } from '../../shared/oip/parameters.ts'
import { writeInferRequest } from '../../shared/oip/request-message.ts'
import { parseInferResponse } from '../../shared/oip/response-message.ts'
import { availableCodecs, decodeTensor, encodeTensor } from '../../shared/platform/tensor-codecs.ts'
import { call, errorOf, type RawAnswer } from '../inference/support/service.ts'
import { lineModel, singleLayerModel, toySpec } from '../inference/support/toy-models.ts'
import { withToyServices } from '../inference/support/toy-services.ts'
import { hop } from '../support/fixtures.ts'
import { floatTensor } from './support.ts'

const SHAPE = [1, 4, 9, 11]
const COUNT = elementCount(SHAPE)
const line = lineModel('c', SHAPE)
const indices = singleLayerModel('d', 'indices', toySpec('x', 'INT64', [4, 300]), (x) => x)
const words = singleLayerModel('e', 'words', toySpec('x', 'BYTES', [2]), (x) => x)
const open = singleLayerModel('f', 'open', toySpec('x', 'FP32', [-1, 300]), (x) => x)

const services = withToyServices([line, indices, words, open])
const codecs = availableCodecs().filter((name) => name !== 'none')

beforeAll(async () => {
  for (const name of ['device', 'edge'] as const)
    await services.start(name, { SCISSION_MAX_BODY_BYTES: '200000' })
  const hops = [hop('device', 0, 1), hop('edge', 1, 3)]
  await services.deploy(services.deploymentOf('whole', [hop('device', 0, 3)], { planId: 'plan-whole' }))
  await services.deploy(services.deploymentOf('halves', hops, { planId: 'plan-halves' }))
})

/** Address of a request → the name of the tensor that it takes. */
const ADDRESSES = {
  line: 'x',
  'line/versions/1': 'x',
  'line:0-3': 'x',
  'line:1-2': 'a',
  'line/layers/1-3': 'a',
  'line/layers/3-3': 'y',
  whole: 'x',
}

async function post(
  at: string,
  inputs: CodedTensor[],
  more: object = {},
  on: 'device' | 'edge' = 'device',
): Promise<RawAnswer> {
  const { json, binary } = writeInferRequest({ inputs, parameters: { binary_data_output: true }, ...more })
  return call('POST', `${services.urlOf(on)}/v2/models/${at}/infer`, Buffer.concat([json, ...binary]), {
    'Inference-Header-Content-Length': String(json.byteLength),
  })
}

async function outputsOf(answer: RawAnswer) {
  expect([answer.status, answer.status === 200 ? '' : errorOf(answer.json)]).toEqual([200, ''])
  const at = Number(answer.headers['inference-header-content-length'])
  return parseInferResponse(answer.body.subarray(0, at), answer.body.subarray(at))
}

const infer = async (at: string, inputs: CodedTensor[], more: object = {}) =>
  outputsOf(await post(at, inputs, more))

const copyOf = (tensor: CodedTensor): CodedTensor => ({ ...tensor, bytes: new Uint8Array(tensor.bytes) })
const bytesOf = ({ bytes }: Tensor) => Buffer.from(bytes).toString('hex')

const named = (name: string, values: ArrayLike<number>): Tensor => ({ ...floatTensor(SHAPE, values), name })
const wave = (name: string) =>
  named(
    name,
    Float32Array.from({ length: COUNT }, (_, at) => Math.sin(at)),
  )

describe('an encoded input', () => {
  it('is answered as its decoded tensor is, at every address, with every codec', async () => {
    const element = fc.oneof(fc.float({ noNaN: true, min: -1e3, max: 1e3 }), fc.constant(0), fc.float())
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...Object.entries(ADDRESSES)),
        fc.constantFrom(...codecs),
        fc.array(element, { minLength: 1, maxLength: 40 }),
        async ([address, name], codec, seeds) => {
          const tensor = named(
            name,
            Float32Array.from({ length: COUNT }, (_, at) => seeds[at % seeds.length] ?? 0),
          )
          const encoded = encodeTensor(tensor, codec)
          const plain = await infer(address, [decodeTensor(copyOf(encoded), 1e6)])
          const coded = await infer(address, [copyOf(encoded)])
          expect(coded.outputs.map(bytesOf)).toEqual(plain.outputs.map(bytesOf))
          const took = typeof coded.parameters['scission_hop0_decodeMs']
          expect(took).toBe(codecOf(encoded) === undefined ? 'undefined' : 'number')
        },
      ),
      { seed: 20_260, numRuns: 120 },
    )
  })

  it('may be of another datatype, and come as JSON', async () => {
    const bytes = new Uint8Array(BigInt64Array.from({ length: 1200 }, (_, at) => BigInt(at % 7)).buffer)
    const tensor: Tensor = { name: 'x', datatype: 'INT64', shape: [4, 300], bytes }
    const encoded = encodeTensor(tensor, 'q8-zstd')
    expect(codecOf(encoded)).toBe('zstd')
    expect((await infer('indices', [copyOf(encoded)])).outputs.map(bytesOf)).toEqual([bytesOf(tensor)])
    const { json } = writeInferRequest(
      { inputs: [encoded], parameters: { binary_data_output: true } },
      () => false,
    )
    const answer = await call('POST', `${services.urlOf('device')}/v2/models/indices/infer`, json)
    expect((await outputsOf(answer)).outputs.map(bytesOf)).toEqual([bytesOf(tensor)])
  })

  it('may have any size where a dimension is open, up to what a body may have', async () => {
    const rows = (count: number): Tensor => ({
      ...floatTensor([count, 300], new Float32Array(300 * count)),
      name: 'x',
    })
    expect((await infer('line', [encodeTensor(wave('x'), 'q8')])).outputs[0]?.shape).toEqual(SHAPE)
    const answer = await post('open', [encodeTensor(rows(200), 'zstd')])
    expect([answer.status, errorOf(answer.json)]).toEqual([
      413,
      expect.stringContaining('would decode to 240000 bytes, the limit is 200000'),
    ])
  })
})

describe('a lying or broken encoding', () => {
  const encoded = (codec: string) => copyOf(encodeTensor(wave('a'), codec))
  const saying = (codec: string, changes: Parameters): CodedTensor => {
    const tensor = encoded(codec)
    return { ...tensor, parameters: { ...tensor.parameters, ...changes } }
  }
  const holding = (codec: string, bytes: Uint8Array): CodedTensor => ({
    ...encoded(codec),
    shape: [bytes.length],
    bytes,
  })

  it.each<[string, CodedTensor, RegExp]>([
    [
      'too short',
      holding('q8', new Uint8Array(403)),
      /'a'.*q8 of shape \[1,4,9,11\] takes 404 bytes, 403 came/,
    ],
    ['too long', holding('fp16', new Uint8Array(793)), /takes 792 bytes, 793 came/],
    ['no frame', holding('q4c-zstd', new Uint8Array(100)), /does not begin as a frame/],
    [
      'half a frame',
      holding('zstd', encoded('zstd').bytes.subarray(0, 40)),
      /input 'a': .*its frame does not end where its bytes do/,
    ],
    [
      'two frames',
      holding('zstd', Buffer.concat([encoded('zstd').bytes, encoded('zstd').bytes])),
      /its frame/,
    ],
    [
      'a bomb',
      holding('zstd', encodeTensor(floatTensor([1e7], new Float32Array(1e7)), 'zstd').bytes),
      /holds (more|40000000 bytes)/,
    ],
    [
      'another shape',
      saying('q8', { scission_shape: '[1,4,99]' }),
      /has shape \[1,4,99\], expected \[1,4,9,11\]/,
    ],
    ['a shape of terabytes', saying('zstd', { scission_shape: '[1,4,9,1100000000000]' }), /has shape/],
    ['a shape that is none', saying('q8', { scission_shape: '[1,-4]' }), /'scission_shape' must be a list/],
    ['no shape', saying('q8', { scission_shape: 4 }), /'scission_shape' must be a list/],
    ['another datatype', saying('zstd', { scission_datatype: 'FP64' }), /has datatype FP64, expected FP32/],
    [
      'strings',
      saying('zstd', { scission_datatype: 'BYTES' }),
      /must be a datatype of fixed size, got: BYTES/,
    ],
    [
      'no codec',
      saying('q8', { scission_codec: 'q5' }),
      /encoded with "q5", which is no codec; codecs are zstd/,
    ],
    ['another name', { ...encoded('q8'), name: 'x' }, /unexpected input tensor "x"; expected "a"/],
    [
      'ranges out of order',
      holding('q8', new Uint8Array(404).fill(0xff)),
      /input 'a': channel 0 .* range NaN to NaN; both must be finite/,
    ],
    [
      'floats',
      { ...wave('a'), parameters: saying('q8', {}).parameters ?? {} },
      /travels as UINT8, not as FP32/,
    ],
  ])('%s is a 400 that says so, and the next request is fine', async (_what, tensor, message) => {
    const answer = await post('line/layers/1-3', [copyOf(tensor)])
    expect([answer.status, errorOf(answer.json)]).toEqual([400, expect.stringMatching(message)])
    expect((await infer('line/layers/1-3', [encodeTensor(wave('a'), 'zstd')])).outputs).toHaveLength(1)
  })

  it('is the same 400 at a deployment and at its hops', async () => {
    const tensor = saying('q8', { scission_shape: '[1,4,99]' })
    const atEntry = await post('whole', [{ ...copyOf(tensor), name: 'x' }])
    const parameters = { scission_hop: 1, scission_plan: 'plan-halves' }
    const atHop = await post('halves', [copyOf(tensor)], { parameters }, 'edge')
    expect([atEntry.status, atHop.status]).toEqual([400, 400])
    expect(errorOf(atHop.json)).toBe(errorOf(atEntry.json).replace('"x"', '"a"'))
  })
})

describe('an encoded answer', () => {
  const codecOutput = (codec: string, more: object = {}) => ({
    parameters: { binary_data_output: true, scission_codec: codec },
    ...more,
  })

  it.each(codecs)('with %s is what encoding the plain answer gives', async (codec) => {
    for (const address of ['line', 'line/layers/1-3', 'whole', 'halves']) {
      const name = address === 'line/layers/1-3' ? 'a' : 'x'
      const [plain] = (await infer(address, [wave(name)])).outputs
      const [coded] = (await infer(address, [wave(name)], codecOutput(codec))).outputs
      if (!plain || !coded) throw new Error('no output')
      const expected = encodeTensor(plain, codec)
      expect([coded.datatype, coded.shape]).toEqual(['UINT8', expected.shape])
      expect(coded.parameters).toEqual(expected.parameters)
      expect(bytesOf(coded)).toBe(bytesOf(expected))
      expect(decodeTensor(copyOf(coded), 1e6).shape).toEqual(SHAPE)
    }
  })

  it('is asked for per output, over what the request says', async () => {
    const outputs = (codec: string) => [{ name: 'y', parameters: { scission_codec: codec } }]
    const [one] = (await infer('line', [wave('x')], { outputs: outputs('q4') })).outputs
    expect(one?.parameters['scission_codec']).toBe('q4')
    const more = codecOutput('q4', { outputs: outputs('none') })
    const [plain] = (await infer('line', [wave('x')], more)).outputs
    expect([plain?.datatype, plain?.parameters]).toEqual(['FP32', {}])
  })

  it('leaves strings as they are', async () => {
    const bytes = Uint8Array.of(1, 0, 0, 0, 65, 0, 0, 0, 0)
    const text: Tensor = { name: 'x', datatype: 'BYTES', shape: [2], bytes }
    const [output] = (await infer('words', [text], codecOutput('q8-zstd'))).outputs
    expect([output?.datatype, output?.parameters]).toEqual(['BYTES', {}])
  })

  it('of a codec that does not exist is a 400 before anything runs', async () => {
    const { runs } = services.engineOf('device')
    const before = runs.length
    for (const more of [
      codecOutput('q3'),
      { parameters: { scission_codec: 8 } },
      { outputs: [{ name: 'y', parameters: { scission_codec: 'zip' } }] },
    ]) {
      const answer = await post('whole', [wave('x')], more)
      expect([answer.status, errorOf(answer.json)]).toEqual([
        400,
        expect.stringMatching(/unknown codec|expected a string/),
      ])
    }
    expect(runs.length).toBe(before)
  })
})

afterAll(() => services.stop('device'))
