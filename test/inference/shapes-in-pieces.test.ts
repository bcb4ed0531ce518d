/** Layers of models, and deployments, that are asked for shapes nobody had analysed. */
import { describe, expect, it } from 'vitest'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { encoder } from '../onnx/support/open-models.ts'
import { exampleDeployment, hop } from '../support/fixtures.ts'
import { inferTensors } from './support/infer-tensors.ts'
import { call, outputsOf } from './support/service.ts'
import { copy, refusal, send, sentence, TIERS, useShapes } from './shapes-system.ts'

const { apart, at, client, expectSame, fileOf, redis, upload, whole } = useShapes()

describe('layers of a model', () => {
  const ranges = (name: string, from: number, to: number, tier = 'device') =>
    `${at(tier)}/v2/models/${name}/layers/${from}-${to}/infer`

  it('without shapes of its own are numbered by its open structure', async () => {
    await upload('numbered', encoder('ids'))
    expect((await refusal(send(ranges('numbered', 3, 5), sentence(1, 4)))).error).toContain('"open": true')
    // The first request for layers from 0 has it analysed.
    await inferTensors(ranges('numbered', 0, 1), sentence(1, 4))
    const { layers, boundaries } = await client().openStructure('numbered')
    const cut = boundaries.filter(({ clean, k }) => clean && k > 5)[3]?.k ?? 0
    for (const length of [4, 1, 30]) {
      const inputs = sentence(2, length)
      const head = await inferTensors(ranges('numbered', 0, cut), copy(inputs))
      expect(head.outputs.map(({ name }) => name)).toEqual(boundaries[cut]?.tensors)
      const { outputs } = await inferTensors(ranges('numbered', cut, layers.length, 'edge'), head.outputs)
      expect(await apart('numbered', inputs, outputs)).toBeLessThan(1e-5)
    }
    const { json } = await call('GET', `${at('edge')}/v2/models/numbered/layers/0-${cut}`)
    expect((json as { inputs: { shape: number[] }[] }).inputs.map(({ shape }) => shape)).toEqual([
      [-1, -1],
      [-1, -1],
    ])
  })

  it('are analysed by the first request for layers from 0 also if it names outputs, which are checked then', async () => {
    // The same layers: its numbers tell what crosses.
    await upload('twin', encoder('ids'))
    const { boundaries } = await client().openStructure('twin', { ids: [1, 4], mask: [1, 4] })
    const cut = boundaries.find(({ k, tensors }) => k > 1 && tensors.length > 1)?.k ?? 0
    const [first = '', ...others] = boundaries[cut]?.tensors ?? []
    expect(others).not.toEqual([])
    await upload('named', encoder('ids'))
    const { status, json } = await send(ranges('named', 0, cut), sentence(1, 4), {
      outputs: [{ name: first }],
    })
    expect([status, outputsOf(json).map(({ name }) => name)]).toEqual([200, [first]])
    await upload('misnamed', encoder('ids'))
    expect(
      await refusal(send(ranges('misnamed', 0, cut), sentence(1, 4), { outputs: [{ name: 'z' }] })),
    ).toEqual({
      status: 400,
      error: expect.stringMatching(
        `unexpected inference output 'z' for model 'misnamed:0-${cut}'; it has .*${first}`,
      ),
    })
  })

  it('with shapes of its own take other sizes where the same tensors cross, and are refused elsewhere', async () => {
    for (const [name, sizes] of [
      ['own-block', 'block'],
      ['own-ids', 'ids'],
    ] as const) {
      await upload(name, encoder(sizes))
      await client().uploadModel(fileOf(name), name, { inputShapes: { ids: [1, 16], mask: [1, 16] } })
      const { layers, boundaries } = await client().structure(name)
      const k = layers.findIndex(({ outputs }) => outputs.some((output) => output.name === 'b0.out')) + 1
      expect(boundaries[k]?.tensors.toSorted()).toEqual(['b0.out', 'penalties'])
      const head = await inferTensors(ranges(name, 0, k), sentence(1, 16))
      expect(head.outputs.length).toBe(2)
      const other = refusal(send(ranges(name, 0, k), sentence(2, 5)))
      if (sizes === 'ids') {
        expect(await other).toEqual({ status: 400, error: expect.stringContaining(`boundary ${k}`) })
        continue
      }
      expect((await other).status).toBe(200)
      const inputs = sentence(2, 5)
      const { outputs: middle } = await inferTensors(ranges(name, 0, k), copy(inputs))
      const { outputs } = await inferTensors(ranges(name, k, layers.length, 'cloud'), middle)
      expect(await apart(name, inputs, outputs)).toBeLessThan(1e-5)
    }
  })
})

describe('a deployment for a range of shapes', () => {
  it('runs every shape in it through all hops, and refuses others with the range', async () => {
    const { id } = await upload('wide', encoder())
    const { shapesKey, layers, boundaries } = await client().openStructure('wide', {
      ids: [1, 4],
      mask: [1, 4],
    })
    const cuts = boundaries.filter(({ clean, k }) => clean && k > 0 && k < layers.length).map(({ k }) => k)
    const [first = 0, second = 0] = [
      cuts[Math.floor(cuts.length / 3)],
      cuts[Math.floor((2 * cuts.length) / 3)],
    ]
    const hops = [hop('device', 0, first), hop('edge', first, second), hop('cloud', second, layers.length)]
    const ranges = ['1..3', '2..40']
    const deployment = exampleDeployment('wide-split', hops, {
      model: id,
      shapesKey,
      shapes: { ids: ranges, mask: ranges },
      entry: { resource: 'device', url: at('device') },
    })
    await redis().state.deployments.put(deployment.id, deployment)
    for (const tier of TIERS)
      expect(
        (await call('PUT', `${at(tier)}/v1/deployments/wide-split`, JSON.stringify(deployment))).status,
      ).toBe(200)
    for (const [batch, length] of [
      [1, 2],
      [3, 40],
      [2, 17],
      [1, 3],
    ] as const)
      await expectSame('wide', whole('wide-split'), sentence(batch, length))
    for (const [batch, length] of [
      [1, 41],
      [4, 8],
      [1, 1],
    ] as const)
      expect(await refusal(send(whole('wide-split'), sentence(batch, length)))).toEqual({
        status: 400,
        error: expect.stringMatching(
          /"ids" has shape \[\d+,\d+\]; deployment wide-split takes \[1\.\.3,2\.\.40\]/,
        ),
      })
    const given = sentence(2, 13)
    const crossing = await inferTensors(`${at('device')}/v2/models/wide:0-${first}/infer`, copy(given))
    const cut = `${at('edge')}/v2/models/wide-split/layers/${first}-${layers.length}`
    const entered = await inferTensors(`${cut}/infer`, crossing.outputs)
    expect(await apart('wide', given, entered.outputs)).toBeLessThan(1e-5)
    const [ids] = sentence(1, 8) as [Tensor]
    const [, mask] = sentence(1, 7) as [Tensor, Tensor]
    expect((await refusal(send(whole('wide-split'), [ids, mask]))).status).toBe(400)
    const { json } = await call('GET', `${at('device')}/v2/models/wide-split`)
    expect(json).toMatchObject({
      inputs: [{ shape: [-1, -1] }, { shape: [-1, -1] }],
      properties: { shapes: expect.stringContaining('ids:1..3x2..40') },
    })
  })
})
