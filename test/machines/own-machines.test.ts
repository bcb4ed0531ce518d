/** Three machines with a network between them, set up as docs/guides/own-machines.md says. */
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseInferResponse } from '../../shared/oip/response-message.ts'
import { JSON_LENGTH_HEADER } from '../../shared/oip/binary-message.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { compareAll } from '../support/compare-tensors.ts'
import { eventually } from '../support/eventually.ts'
import { withFolder } from '../support/folder.ts'
import { startedOnce } from '../support/started.ts'
import { type Lane, whyNoLab } from './lab.ts'
import { clock, LAN, type Name, ThreeMachines } from './three-machines.ts'

const MODEL = 'mobilenetv2'
/** For whatever else this machine does at the same time, in ms. */
const GENEROUS_MS = 10_000
const bothWays = (one: Name, other: Name, lane: Omit<Lane, 'from' | 'to'>): Lane[] => [
  { ...lane, from: one, to: other },
  { ...lane, from: other, to: one },
]
const why = whyNoLab()
if (why !== undefined) console.log(`skipped: three machines: ${why}`)

describe.skipIf(why !== undefined)('three machines', () => {
  const folder = withFolder('machines')
  const three = startedOnce(
    () => ThreeMachines.start(folder()),
    (started) => started.close(),
  )
  /** An image of steps, which no layer maps to zeros. */
  const image = new Uint8Array(new Float32Array(3 * 224 * 224).map((_, index) => (index % 255) / 255).buffer)

  async function infer(name: string, at: Name = 'device') {
    const answer = await three().machines.device.ask({
      url: `${three().inferenceUrl(at)}/v2/models/${name}/infer`,
      method: 'POST',
      headers: {
        ...three().shown,
        'Content-Type': 'application/octet-stream',
        'Inference-Header-Content-Length': '0',
      },
      body: image,
    })
    if (answer.status !== 200) throw new Error(`${answer.status} ${Buffer.from(answer.bytes).toString()}`)
    const length = Number(answer.headers[JSON_LENGTH_HEADER])
    const { outputs, parameters } = parseInferResponse(
      answer.bytes.subarray(0, length),
      answer.bytes.subarray(length),
    )
    return {
      outputs: new Map(outputs.map((tensor) => [tensor.name, tensor])),
      parameters,
      tookMs: answer.tookMs,
    }
  }

  const planner = async (path: string, body: unknown) =>
    three().json(`${three().plannerUrl}${path}`, 'POST', body)

  /** The best plan whose first layers are computed by the device, and the rest by the edge. */
  async function split(): Promise<{ id: string; predictedMs: number }> {
    const query = { model: MODEL, mustUseResources: ['device', 'edge'], maxStages: 2, top: 1 }
    const { plans } = (await planner('/v1/plans', query)) as { plans: { id: string; predictedMs: number }[] }
    const [best] = plans
    if (best === undefined) throw new Error('no plan')
    return best
  }

  /** Who computed the second stage of a request. */
  async function second(name: string) {
    const { parameters } = await infer(name)
    return { on: parameters.scission_hop1_resource, insteadOf: parameters.scission_hop1_insteadOf }
  }

  it('know each other by addresses that lead there', async () => {
    const resources = (await three().json(`${three().plannerUrl}/v1/resources`)) as {
      items: { name: Name; url: string }[]
    }
    expect(resources.items.map(({ url }) => url)).toEqual(
      resources.items.map(({ name }) => three().inferenceUrl(name)),
    )
    expect(await three().scission('status')).toMatch(/all is well/)
  })

  it('measure a model that is uploaded, and the links between them', async () => {
    const file = path.join(folder(), `${MODEL}.onnx`)
    await buildZooModel(MODEL, file, { seed: 1 })
    await three().scission('models', 'add', file, '--name', MODEL)
    const benched = await three().scission('bench', MODEL)
    for (const name of ['device', 'edge', 'cloud'])
      expect(benched).toMatch(new RegExp(`${name} .*(measured|emulated)`))
    await three().measureLinks()
    expect(await three().scission('links')).toMatch(/device → edge .*measured/)
  })
  it('serve a plan over two of them, which answers as the whole model does', async () => {
    const plan = await split()
    await three().scission('deploy', plan.id, '--name', 'split')
    expect(await three().scission('infer', 'split')).toMatch(/took .* ms/)
    const whole = await infer(MODEL, 'cloud')
    const answer = await infer('split')
    expect(answer.parameters).toMatchObject({
      scission_hop0_resource: 'device',
      scission_hop1_resource: 'edge',
    })
    expect(compareAll(answer.outputs, whole.outputs).apart).toBeLessThan(1e-3)
  })
  it('refuse a second service of one name, and say where both are', async () => {
    const { edge } = three().machines
    const address = `http://${edge.address}:8095`
    const settings = { SCISSION_RESOURCE: 'device', SCISSION_PORT: '8095', SCISSION_PUBLIC_URL: address }
    const second = edge.runService('inference', { ...three().settingsOf('edge'), ...settings })
    expect(await second.exited).toBe(1)
    expect(second.lines().join('\n')).toContain(
      `this one at ${address}, and one at ${three().inferenceUrl('device')}`,
    )
  })

  it.each([10_000, 600_000])('do not mind a clock that is %d ms ahead', async (offMs) => {
    await three().startAgain('edge', clock(offMs))
    await eventually(async () => expect(await three().alive()).toEqual(['cloud', 'device', 'edge']))
    await eventually(async () => expect(await second('split')).toEqual({ on: 'edge', insteadOf: undefined }))
    const { plans } = (await planner('/v1/plans', { model: MODEL, mustUseResources: ['edge'], top: 1 })) as {
      plans: unknown[]
    }
    expect(plans).toHaveLength(1)
  })

  it('answer while a link is cut, and by the plan again afterwards', async () => {
    const { predictedMs } = await split()
    three().lab.setLanes([LAN, ...bothWays('device', 'edge', { ...LAN, cut: true })])
    for (let asked = 0; asked < 6; asked += 1) {
      const { parameters, tookMs } = await infer('split')
      expect(parameters).toMatchObject({ scission_hop1_insteadOf: 'edge' })
      // The wait for the silent machine, and the rest of the model on the slow one; a hop timeout is 30 s.
      expect(tookMs).toBeLessThan(20 * predictedMs + GENEROUS_MS)
    }
    three().lab.setLanes([LAN])
    await eventually(async () => expect(await second('split')).toEqual({ on: 'edge', insteadOf: undefined }))
  })

  it('plan otherwise once a slow link is measured', async () => {
    await three().measureLinks()
    const best = async () => {
      const { plans } = (await planner('/v1/plans', { model: MODEL, top: 1 })) as {
        plans: { stages: { resource: string }[] }[]
      }
      return plans[0]?.stages.map(({ resource }) => resource)
    }
    await eventually(async () => expect(await best()).not.toEqual(['device']))
    const slow = { delayMs: 40, mbps: 1 }
    three().lab.setLanes([LAN, ...bothWays('device', 'edge', slow), ...bothWays('device', 'cloud', slow)])
    await three().measureLinks()
    await eventually(async () => expect(await best()).toEqual(['device']))
    three().lab.setLanes([LAN])
    await three().measureLinks()
    await eventually(async () => expect(await best()).not.toEqual(['device']))
  })

  it('lose no request when Redis loses its memory, and write all of it back', async () => {
    const kinds = ['resources', 'links', 'deployments'] as const
    const held = async () => ({
      models: await three().count(`${three().benchmarkUrl}/v1/models`),
      profiles: await three().count(`${three().benchmarkUrl}/v1/profiles`),
      ...Object.fromEntries(
        await Promise.all(
          kinds.map(async (kind) => [kind, await three().count(`${three().plannerUrl}/v1/${kind}`)] as const),
        ),
      ),
    })
    const before = await held()
    expect(before).toMatchObject({ models: 1, profiles: 3, resources: 3, deployments: 1 })
    const done = new AbortController()
    const asking = (async () => {
      const failed: unknown[] = []
      while (!done.signal.aborted) await infer('split').catch((error: unknown) => failed.push(error))
      return failed
    })()
    await three().flushRedis()
    await eventually(async () => {
      for (const url of three().services())
        expect(await three().json(`${url}/healthz`)).toHaveProperty('redisLost')
      expect(await held()).toEqual(before)
    })
    done.abort()
    expect(await asking).toEqual([])
  })
})
