/** Messages of a plan that are longer than other requests may be: toys compute, everything else is the real service. */
import { beforeAll, describe, expect, it } from 'vitest'
import type { Deployment } from '../../shared/contracts/plan.ts'
import type { CodedTensor } from '../../shared/codec/index.ts'
import { encodeTensor } from '../../shared/platform/tensor-codecs.ts'
import { type Hop, hop } from '../support/fixtures.ts'
import { errorOf, parametersOf, postBinary, splitAnswer } from './support/service.ts'
import { fp32Tensor, layer, toyModel, toySpec } from './support/toy-models.ts'
import { withToyServices } from './support/toy-services.ts'

const COUNT = 40_000
const SHAPE = [COUNT]
/** Less than a tensor, far less than the JSON that a plan has room for. */
const LIMIT = 100_000
/** y = ((x + 1) · 2) + 3, one layer each. */
const toy = toyModel(
  'a',
  [toySpec('x', 'FP32', SHAPE)],
  ['y'],
  [
    layer('a', ['x'], SHAPE, (x) => x + 1),
    layer('b', ['a'], SHAPE, (a) => 2 * a),
    layer('y', ['b'], SHAPE, (b) => b + 3),
  ],
  { name: 'line' },
)
const values = Float32Array.from({ length: COUNT }, (_, index) => index % 100)
const TIERS = ['device', 'edge', 'cloud']
const HOPS = [hop('device', 0, 1), hop('edge', 1, 2), hop('cloud', 2, 3)]

const services = withToyServices([toy])
const { urlOf } = services

beforeAll(async () => {
  for (const tier of TIERS) await services.start(tier, { SCISSION_MAX_BODY_BYTES: String(LIMIT) })
})

const deploy = (id: string, hops: Hop[], changes: Partial<Deployment> = {}) =>
  services.deploy(services.deploymentOf(id, hops, { fallback: 'none', planId: `plan-${id}`, ...changes }))

const plain = (name: string, bytes = new Uint8Array(values.buffer)): CodedTensor => ({
  name,
  datatype: 'FP32',
  shape: SHAPE,
  bytes,
})
const packed = () => encodeTensor(fp32Tensor('x', [...values]), 'zstd')

async function ask(path: string, { bytes, parameters, ...tensor }: CodedTensor = plain('x'), at = 'device') {
  const input = { ...tensor, parameters: { ...parameters, binary_data_size: bytes.length } }
  const json = { inputs: [input], parameters: { binary_data_output: true } }
  const answer = await postBinary(`${urlOf(at)}/v2/models/${path}/infer`, json, new Uint8Array(bytes))
  const { json: told, tensors } = splitAnswer(answer)
  return { status: answer.status, json: told, values: new Float32Array(new Uint8Array(tensors).buffer) }
}

const wanted = values.map((value) => (value + 1) * 2 + 3)

describe('tensors longer than SCISSION_MAX_BODY_BYTES', () => {
  it('reach a deployment, pass from hop to hop, and come back', async () => {
    await deploy('long', HOPS)
    const answer = await ask('long')
    expect([answer.status, answer.json['error']]).toEqual([200, undefined])
    expect(answer.values).toEqual(wanted)
    expect(parametersOf(answer.json)).toMatchObject({
      scission_hops: 3,
      scission_hop0_wireBytes: 4 * COUNT,
      scission_hop1_wireBytes: 4 * COUNT,
    })
  })

  it('are decoded from a codec', async () => {
    await deploy('packed', [
      hop('device', 0, 1),
      hop('edge', 1, 2, { codec: 'zstd' }),
      hop('cloud', 2, 3, { codec: 'zstd' }),
    ])
    expect(packed().bytes.length).toBeLessThan(LIMIT)
    const answer = await ask('packed', packed())
    expect([answer.status, answer.json['error']]).toEqual([200, undefined])
    expect(answer.values).toEqual(wanted)
  })

  it('are delivered straight to the entry', async () => {
    await deploy('direct', HOPS, { answer: 'direct' })
    const answer = await ask('direct')
    expect([answer.status, answer.json['error']]).toEqual([200, undefined])
    expect(answer.values).toEqual(wanted)
  })

  it('enter at a cut', async () => {
    await deploy('entered', HOPS)
    const answer = await ask('entered/layers/1-3', plain('a'), 'edge')
    expect([answer.status, answer.json['error']]).toEqual([200, undefined])
    expect(answer.values).toEqual(values.map((value) => value * 2 + 3))
  })

  it('are refused where no plan has them, with the setting', async () => {
    for (const path of ['line', 'line/layers/0-1']) {
      const { status, json } = await ask(path)
      expect(status).toBe(413)
      expect(errorOf(json)).toContain(`allowed value of ${LIMIT} bytes; SCISSION_MAX_BODY_BYTES sets it`)
    }
    const { status, json } = await ask('line', packed())
    expect([status, errorOf(json)]).toEqual([413, expect.stringContaining('SCISSION_MAX_BODY_BYTES')])
  })

  it('are refused by a deployment beyond what its plan sends', async () => {
    await deploy('short', HOPS)
    const { status, json } = await ask('short', plain('x', new Uint8Array(2_000_000)))
    expect([status, errorOf(json)]).toEqual([413, expect.stringContaining('SCISSION_MAX_BODY_BYTES')])
  })
})
