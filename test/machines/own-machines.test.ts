/** Three machines with a network between them, set up as docs/guides/own-machines.md says. */
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { parseInferResponse } from '../../shared/oip/response-message.ts'
import { JSON_LENGTH_HEADER } from '../../shared/oip/binary-message.ts'
import { buildZooModel } from '../../shared/zoo/index.ts'
import { compareAll } from '../support/compare-tensors.ts'
import { withFolder } from '../support/folder.ts'
import { startedOnce } from '../support/started.ts'
import { whyNoLab } from './lab.ts'
import { type Name, ThreeMachines } from './three-machines.ts'

const MODEL = 'mobilenetv2'
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
      headers: { 'Content-Type': 'application/octet-stream', 'Inference-Header-Content-Length': '0' },
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
    for (const name of ['device', 'edge'] as const)
      await three().json(`${three().inferenceUrl(name)}/v1/links/measure`, 'POST')
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
})
