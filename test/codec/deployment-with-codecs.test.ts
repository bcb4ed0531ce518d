/** Codecs on the path of a deployment: three inference services whose models are plain functions. */
import { beforeAll, describe, expect, it } from 'vitest'
import { postBinary, splitAnswer } from '../inference/support/service.ts'
import { lineModel } from '../inference/support/toy-models.ts'
import { withToyServices } from '../inference/support/toy-services.ts'
import { hop } from '../support/fixtures.ts'

const SHAPE = [1, 4, 100, 100]
const COUNT = 40_000
const toy = lineModel('c', SHAPE)
const x = Float32Array.from({ length: COUNT }, (_, index) => Math.sin(index))
const TIERS = ['device', 'edge', 'cloud']

const services = withToyServices([toy])
const { urlOf } = services

async function deploy(id: string, codecs: (string | undefined)[]): Promise<void> {
  const hops = TIERS.map((resource, index) => hop(resource, index, index + 1, { codec: codecs[index] }))
  await services.deploy(services.deploymentOf(id, hops, { planId: `plan-${id}` }))
}

async function infer(id: string) {
  const json = {
    inputs: [{ name: 'x', datatype: 'FP32', shape: SHAPE, parameters: { binary_data_size: 4 * COUNT } }],
    parameters: { binary_data_output: true },
  }
  const answer = await postBinary(`${urlOf('device')}/v2/models/${id}/infer`, json, new Uint8Array(x.buffer))
  const split = splitAnswer(answer)
  expect([answer.status, split.json['error']]).toEqual([200, undefined])
  const values = new Float32Array(new Uint8Array(split.tensors).buffer)
  const worst = values.reduce((most, value, index) => {
    return Math.max(most, Math.abs(value - ((x[index] ?? 0) + 1) * 2 - 3))
  }, 0)
  expect(values.length).toBe(COUNT)
  return { worst, parameters: split.json['parameters'] as Record<string, unknown> }
}

beforeAll(async () => {
  for (const tier of TIERS) await services.start(tier)
})

describe('a deployment whose hops name codecs', () => {
  it('answers within the codecs’ steps, and tells what crossed each link', async () => {
    await deploy('coded', [undefined, 'q8', 'q4c-zstd'])
    const { worst, parameters } = await infer('coded')
    // Hop 0 to 1: q8 of a range of 2, which layer b doubles. Hop 1 to 2: q4 of a range of 4.
    expect(worst).toBeGreaterThan(0.01)
    expect(worst).toBeLessThanOrEqual(2 * (2 / 255 / 2) + 4.02 / 15 / 2)
    expect(parameters).toMatchObject({
      scission_hop0_bytesOut: 4 * COUNT,
      scission_hop0_wireBytes: COUNT + 8,
      scission_hop0_codec: 'q8',
      scission_hop1_bytesOut: 4 * COUNT,
      scission_hop1_codec: 'q4c-zstd',
      scission_hop2_bytesOut: 4 * COUNT,
    })
    expect(parameters['scission_hop1_wireBytes']).toBeLessThan(COUNT / 2)
    for (const key of ['hop0_encodeMs', 'hop1_decodeMs', 'hop1_encodeMs', 'hop2_decodeMs'])
      expect(parameters[`scission_${key}`]).toBeGreaterThan(0)
    for (const key of ['hop0_decodeMs', 'hop2_encodeMs', 'hop2_wireBytes'])
      expect(parameters[`scission_${key}`]).toBeUndefined()
  })

  it('answers exactly without codecs and with those that lose nothing', async () => {
    for (const codecs of [[], [undefined, 'none', 'none'], [undefined, 'zstd', 'zstd']]) {
      await deploy(`exact-${codecs.join('-') || 'absent'}`, codecs)
      const { worst } = await infer(`exact-${codecs.join('-') || 'absent'}`)
      expect(worst).toBeLessThan(1e-5)
    }
  })

  it('finishes on the resource before when the next is gone, from the tensor as it was', async () => {
    await deploy('alone', [undefined, 'q2', 'q2'])
    await infer('alone')
    await services.stop('edge')
    const { worst, parameters } = await infer('alone')
    expect(parameters['scission_hop1_insteadOf']).toBe('edge')
    expect(parameters['scission_hop0_codec']).toBeUndefined()
    expect(worst).toBeLessThan(1e-5)
  })

  it('answers in the protocol’s words when a hop does not know the codec', async () => {
    await deploy('told', [undefined, 'q8', 'q8'])
    const bytes = new Uint8Array(COUNT + 8)
    const input = {
      name: 'b',
      datatype: 'UINT8',
      shape: [bytes.length],
      parameters: {
        binary_data_size: bytes.length,
        scission_codec: 'q5',
        scission_datatype: 'FP32',
        scission_shape: JSON.stringify(SHAPE),
      },
    }
    const parameters = { scission_hop: 2, scission_plan: 'plan-told' }
    const answer = await postBinary(
      `${urlOf('cloud')}/v2/models/told/infer`,
      { inputs: [input], parameters },
      bytes,
    )
    expect(answer.status).toBe(400)
    expect(Object.keys(answer.json as object)).toEqual(['error'])
    expect((answer.json as { error: string }).error).toMatch(/encoded with "q5", which is no codec/)
    for (const codec of ['q8-lz4', 'lz4', 'q8c-zstd-zstd']) {
      const other = { ...input, parameters: { ...input.parameters, scission_codec: codec } }
      const refused = await postBinary(
        `${urlOf('cloud')}/v2/models/told/infer`,
        { inputs: [other], parameters },
        bytes,
      )
      expect([codec, refused.status]).toEqual([codec, 400])
      expect((refused.json as { error: string }).error).toContain(`encoded with "${codec}"`)
    }
    const short = { ...input, parameters: { ...input.parameters, scission_codec: 'q4' } }
    const lying = await postBinary(
      `${urlOf('cloud')}/v2/models/told/infer`,
      { inputs: [short], parameters },
      bytes,
    )
    expect(lying.status).toBe(400)
    expect((lying.json as { error: string }).error).toMatch(/q4 of shape \[1,4,100,100\] takes 20008 bytes/)
  })
  it('decodes none of the tensors that its stage does not take: each may take 32,000 times its bytes', async () => {
    await deploy('few', [undefined, 'q8', 'q8'])
    const coded = (name: string) => ({
      name,
      datatype: 'UINT8',
      shape: [1],
      parameters: { binary_data_size: 1, scission_codec: 'q5' },
    })
    const json = {
      inputs: [coded('b'), coded('c')],
      parameters: { scission_hop: 2, scission_plan: 'plan-few' },
    }
    const answer = await postBinary(`${urlOf('cloud')}/v2/models/few/infer`, json, new Uint8Array(2))
    expect([answer.status, answer.json]).toEqual([
      400,
      { error: 'unexpected input tensor "c"; expected "b"' },
    ])
  })
})
