/** Names and versions of models mean the same in every service, whatever else a file is called. */
import path from 'node:path'
import { beforeAll, describe, expect, it } from 'vitest'
import type { Model } from '../../shared/contracts/model.ts'
import { profileId, structureId } from '../../shared/platform/redis/state.ts'
import { call, errorOf, postJson, startInference, valuesOf } from '../inference/support/service.ts'
import { spec, writeModel } from '../inference/tiny-models.ts'
import { exampleProfile } from '../support/fixtures.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { startBenchmark, type StartedBenchmark, startPlanner } from '../support/services.ts'
import { startedOnce } from '../support/started.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const redis = withTestRedis()
const folder = withFolder('versions')
const replicas = new Map<number, StartedBenchmark>()
/** Two replicas over one store. */
const startReplica = async (which: number) => {
  const SCISSION_DATA = path.join(folder(), 'benchmark')
  replicas.set(which, await startBenchmark({ REDIS_URL: redis().url, SCISSION_DATA }))
}
startedOnce(
  () => Promise.all([0, 1].map(startReplica)),
  () => Promise.all([...replicas.values()].map((replica) => replica.close())),
)

const inference = startedOnce(
  () =>
    startInference(redis().url, {
      SCISSION_RESOURCE: 'device',
      SCISSION_TIER: 'device',
      SCISSION_DATA: path.join(folder(), 'device'),
      SCISSION_BENCHMARK_URL: replicas.get(0)?.url ?? '',
      SCISSION_LINK_INTERVAL_MS: '3600000',
    }),
  (service) => service.stop(),
)
const planner = startedOnce(
  () => startPlanner(redis().url),
  (service) => service.close(),
)

/** The model whose answer to 3 is 3 op 3: 6 for Add, 9 for Mul, 1 for Div, 0 for Sub. */
function upload(op: string, name: string, replica = 0): Promise<Model> {
  const file = path.join(folder(), `${op}.onnx`)
  const [x, y] = [spec('x', 'FP32', [1]), spec('y', 'FP32', [1])]
  writeModel(file, { inputs: [x], outputs: [y], nodes: [{ op, inputs: ['x', 'x'], outputs: ['y'] }] })
  const { client } = replicas.get(replica) ?? {}
  if (!client) throw new Error(`replica ${replica} is not started`)
  return client.uploadModel(file, name)
}

const at = (address: string) => `${inference().url}/v2/models/${address}`
async function inferAt(address: string) {
  const inputs = [{ name: 'x', datatype: 'FP32', shape: [1], data: [3] }]
  const { status, json } = await postJson(`${at(address)}/infer`, { inputs })
  if (status !== 200) return [status, errorOf(json)]
  const { model_name, model_version } = json as Record<string, unknown>
  return [status, model_name, model_version, valuesOf(json)?.[0]]
}
const plannedFor = async (model: string) => {
  const answer = await fetch(`${planner().url}/v1/plans?model=${model}&source=device`)
  return [answer.status, ((await answer.json()) as { model?: string }).model]
}
const registered = async (reference: string, replica = 0) =>
  (await replicas.get(replica)?.client.model(reference))?.id

let added: Model
let multiplied: Model

/** What every service says about the names that the uploads below give. */
async function expectOneNotion() {
  expect(await inferAt('vv')).toEqual([200, 'vv', '2', 9])
  expect(await inferAt('vv/versions/1')).toEqual([200, 'vv', '1', 6])
  expect(await inferAt('vv/versions/2')).toEqual([200, 'vv', '2', 9])
  expect(await inferAt('vv@1')).toEqual([200, 'vv@1', '1', 6])
  expect(await inferAt('a')).toEqual([200, 'a', '1', 6])
  expect(await inferAt('b')).toEqual([200, 'b', '1', 9])
  expect(await inferAt('vv@1:0-1')).toEqual([200, 'vv@1:0-1', '1', 6])
  expect((await inferAt('vv/versions/3'))[0]).toBe(404)
  expect((await inferAt('vv@1/versions/2'))[0]).toBe(404)
  const metadata = async (address: string) => (await call('GET', at(address))).json
  const properties = (model: Model) => ({ id: model.id })
  expect(await metadata('vv')).toMatchObject({ versions: ['1', '2'], properties: properties(multiplied) })
  expect(await metadata('vv/versions/1')).toMatchObject({
    versions: ['1', '2'],
    properties: properties(added),
  })
  expect(await metadata('vv@1')).toMatchObject({ versions: ['1'], properties: properties(added) })
  expect(await metadata('a')).toMatchObject({ versions: ['1'] })
  const statistics = (await call('GET', `${at('vv')}/stats`)).json as { model_stats: object[] }
  expect(statistics.model_stats).toMatchObject([
    { name: 'vv', version: '1', inference_count: expect.any(Number) as number },
    { name: 'vv', version: '2' },
  ])
  for (const replica of [0, 1]) {
    expect(await registered('vv', replica)).toBe(multiplied.id)
    expect(await registered('vv@1', replica)).toBe(added.id)
    expect(await registered('vv@2', replica)).toBe(multiplied.id)
    await expect(registered('vv@3', replica)).rejects.toMatchObject({
      code: 'notFound',
      message: expect.stringContaining('"vv" has version 1, 2') as string,
    })
  }
  await expect.poll(() => plannedFor('vv')).toEqual([200, multiplied.id])
  expect(await plannedFor('vv@1')).toEqual([200, added.id])
  expect(await plannedFor('vv@2')).toEqual([200, multiplied.id])
  expect((await plannedFor('vv@3'))[0]).toBe(404)
  const index = await postJson(`${inference().url}/v2/repository/index`, {})
  const entries = index.json as { name: string; version: string; state: string }[]
  expect(
    entries
      .filter(({ name }) => !name.includes(':') && name !== 'many')
      .map(({ name, version }) => `${name} ${version}`)
      .sort(),
  ).toEqual(['a 1', 'b 1', 'vv 1', 'vv 2'])
}

describe('a name given to files first uploaded under others', () => {
  beforeAll(async () => {
    added = await upload('Add', 'a')
    multiplied = await upload('Mul', 'b', 1)
    await upload('Add', 'vv', 1)
    await upload('Mul', 'vv')
    await upload('Add', 'vv', 1)
    const { state } = redis()
    for (const { id, shapesKey } of [added, multiplied]) {
      const key = shapesKey ?? ''
      expect(await state.structures.has(structureId(id, key))).toBe(true)
      const profile = exampleProfile('device', [1], { model: id, shapesKey: key as never })
      await state.profiles.put(profileId(profile), { ...profile, id: profileId(profile) })
    }
  })

  it('has the version of each file, in every service', expectOneNotion)

  it('takes a layer range and a benchmark request by name@version too', async () => {
    const range = await fetch(`${replicas.get(1)?.url}/v1/models/vv@1/layers`)
    expect(((await range.json()) as { model: string }).model).toBe(added.id)
    const odd = await fetch(`${replicas.get(0)?.url}/v1/benchmarks`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ model: 'vv@9' }),
    })
    expect([odd.status, await odd.text()]).toEqual([404, expect.stringContaining('version 1, 2')])
  })

  it('gives every file of two replicas that upload at once a version of its own', async () => {
    const operators = ['Add', 'Mul', 'Div', 'Sub']
    const answers = { Add: 6, Mul: 9, Div: 1, Sub: 0 } as Record<string, number>
    await Promise.all(operators.map((op, index) => upload(op, 'many', index % 2)))
    const values = []
    for (const version of [1, 2, 3, 4]) {
      const answer = await inferAt(`many/versions/${version}`)
      expect(answer.slice(0, 3)).toEqual([200, 'many', String(version)])
      values.push(answer[3])
    }
    expect(new Set(values)).toEqual(new Set(Object.values(answers)))
    expect(await inferAt('many')).toEqual(await inferAt('many/versions/4'))
  })

  it('says which version is not loaded, and unloads that file only', async () => {
    await inferAt('vv/versions/1')
    const unload = (name: string, what: string) =>
      postJson(`${inference().url}/v2/repository/models/${name}/${what}`, {})
    expect((await unload('vv@1', 'unload')).status).toBe(200)
    const refused = await postJson(`${at('vv/versions/1')}/infer`, {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [1], data: [3] }],
    })
    expect([refused.status, errorOf(refused.json)]).toEqual([503, expect.stringMatching(/vv@1.*unloaded/)])
    expect(await inferAt('vv')).toEqual([200, 'vv', '2', 9])
    expect((await unload('vv@1', 'load')).status).toBe(200)
    expect(await inferAt('vv/versions/1')).toEqual([200, 'vv', '1', 6])
  })

  it('still has when the benchmark services were started again, and Redis had forgotten the models', async () => {
    await Promise.all([...replicas.values()].map((replica) => replica.close()))
    await redis().state.redis.del('scission:models', 'scission:structures')
    await Promise.all([...replicas.keys()].map(startReplica))
    await expectOneNotion()
  })
})
