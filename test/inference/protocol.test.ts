import { beforeAll, describe, expect, it } from 'vitest'
import { call, errorOf, postJson } from './support/service.ts'
import { branchedModel } from './support/toy-models.ts'
import { withToyService } from './support/toy-service.ts'
import { until } from '../support/eventually.ts'

const first = branchedModel('a')
const second = branchedModel('b', { version: 2 })
const dynamic = branchedModel('c', {
  name: 'dynamic',
  inputs: [{ name: 'x', datatype: 'FP32', shape: ['n'] }],
  inputShapes: null,
  shapesKey: null,
})
const unseen = branchedModel('d', {
  name: 'unseen',
  inputs: [{ name: 'x', datatype: 'FP32', shape: ['n'] }],
  inputShapes: null,
  shapesKey: null,
})
const broken = branchedModel('e', { name: 'broken' })

const toy = withToyService([first, second, dynamic, broken])
beforeAll(() => toy.state.models.put(unseen.model.id, unseen.model))

const get = (path: string) => call('GET', `${toy.service.url}${path}`)
const post = (path: string, body: unknown = {}) => postJson(`${toy.service.url}${path}`, body)
const x = (data: number[]) => ({ name: 'x', shape: [data.length], datatype: 'FP32', data })
const stateOf = async (name: string, version = '1') => {
  const index = (await post('/v2/repository/index')).json as {
    name: string
    version: string
    state: string
  }[]
  return index.find((entry) => entry.name === name && entry.version === version)
}

describe('health and server metadata', () => {
  it('says that it is live and ready', async () => {
    expect((await get('/v2/health/live')).json).toEqual({ live: true })
    const ready = await get('/v2/health/ready')
    expect([ready.status, ready.json]).toEqual([200, { live: true, ready: true }])
  })

  it('announces the extensions it has and no others', async () => {
    for (const path of ['/v2', '/v2/']) {
      const { json } = await get(path)
      expect(json).toEqual({
        name: 'scission',
        version: expect.any(String),
        extensions: [
          'binary_tensor_data',
          'model_repository',
          'model_repository(unload_dependents)',
          'model_configuration',
          'statistics',
          'parameters',
        ],
      })
    }
  })

  it('answers unknown addresses and methods in the protocol’s words', async () => {
    const unknown = await get('/v2/nothing/here')
    expect([unknown.status, unknown.json]).toEqual([404, { error: 'Not Found' }])
    const method = await call('DELETE', `${toy.service.url}/v2/models/branched/infer`)
    expect([method.status, method.json]).toEqual([405, { error: 'Method Not Allowed' }])
    for (const path of ['/v2', '/v2/models/branched', '/v2/models/branched/versions/1'])
      expect((await get(`${path}/trace/setting`)).status, path).toBe(501)
    expect((await get('/v2/nothing')).json).toEqual({ error: 'Not Found' })
    // Paths are compared without regard to case, and so is the form of errors.
    expect((await get('/V2/nothing')).json).toEqual({ error: 'Not Found' })
  })

  it('has one layer range in an address', async () => {
    for (const path of ['branched:0-2/layers/0-2', 'branched:0-1:0-2', 'branched:0-1/layers/1-2']) {
      const answer = await get(`/v2/models/${path}`)
      expect([path, answer.status, errorOf(answer.json)]).toEqual([
        path,
        400,
        expect.stringContaining('one layer range; write branched:from-to, or branched/layers/from-to'),
      ])
    }
    expect((await post('/v2/repository/models/branched:0-1:0-2/load')).status).toBe(400)
    expect((await post('/v2/repository/models/branched:0-1:0-2/unload')).status).toBe(400)
  })
})

describe('model metadata', () => {
  it('is that of the highest version, or of the version asked for', async () => {
    const latest = await get('/v2/models/branched')
    expect(latest.json).toMatchObject({
      name: 'branched',
      versions: ['1', '2'],
      platform: 'onnx_onnxv1',
      inputs: [{ name: 'x', datatype: 'FP32', shape: [2] }],
      outputs: [{ name: 'y', datatype: 'FP32', shape: [2] }],
      properties: { id: second.model.id },
    })
    const older = await get('/v2/models/branched/versions/1')
    expect(older.json).toMatchObject({ properties: { id: first.model.id } })
    expect((await get('/v2/models/branched@1')).json).toMatchObject({ properties: { id: first.model.id } })
    expect((await get('/v2/models/branched/versions/3')).status).toBe(404)
  })

  it('shows open dimensions as -1', async () => {
    expect((await get('/v2/models/dynamic')).json).toMatchObject({ inputs: [{ shape: [-1] }] })
  })

  it('tells the tensors around a layer range, under both of its names', async () => {
    const expected = {
      inputs: [{ name: 'x', datatype: 'FP32', shape: [2] }],
      outputs: [
        { name: 'a', datatype: 'FP32', shape: [2] },
        { name: 'b', datatype: 'FP32', shape: [2] },
      ],
    }
    expect((await get('/v2/models/branched/layers/0-2')).json).toMatchObject(expected)
    expect((await get('/v2/models/branched:0-2')).json).toMatchObject({ ...expected, name: 'branched:0-2' })
  })

  it('refuses a layer range out of order or out of bounds, naming the number of layers', async () => {
    for (const range of ['2-1', '0-4', '4-4']) {
      const answer = await get(`/v2/models/branched/layers/${range}`)
      expect([range, answer.status]).toEqual([range, 400])
      expect(JSON.stringify(answer.json)).toContain('<= 3, the number of layers')
    }
    expect((await get('/v2/models/branched/layers/a-b')).status).toBe(400)
  })

  it('gives the model configuration that perf_analyzer reads', async () => {
    expect((await get('/v2/models/branched/config')).json).toMatchObject({
      name: 'branched',
      backend: 'onnxruntime',
      max_batch_size: 0,
      input: [{ name: 'x', data_type: 'TYPE_FP32', dims: [2] }],
      output: [{ name: 'y', data_type: 'TYPE_FP32', dims: [2] }],
      instance_group: [{ kind: 'KIND_CPU', count: 1 }],
    })
  })
})

describe('layer ranges', () => {
  it('compose to the whole model, whatever the boundary', async () => {
    const whole = (await post('/v2/models/branched/infer', { inputs: [x([1, 2])] })).json as {
      outputs: object[]
    }
    for (const cut of [0, 1, 2, 3]) {
      const head = await post(`/v2/models/branched/layers/0-${cut}/infer`, { inputs: [x([1, 2])] })
      const inputs = (head.json as { outputs: object[] }).outputs
      const tail = await post(`/v2/models/branched/layers/${cut}-3/infer`, { inputs })
      expect((tail.json as { outputs: object[] }).outputs).toEqual(whole.outputs)
    }
  })

  it('refuse the tensors of another boundary', async () => {
    const answer = await post('/v2/models/branched/layers/1-3/infer', { inputs: [x([1, 2])] })
    expect(answer.status).toBe(400)
    expect(JSON.stringify(answer.json)).toContain('a')
  })
})

describe('a model with open dimensions', () => {
  it('runs for the shapes it was analysed for', async () => {
    const answer = await post('/v2/models/dynamic/infer', { inputs: [x([1, 2])] })
    expect(answer.status).toBe(200)
  })

  it('needs the benchmark service for other shapes, and says so if it is not there', async () => {
    const answer = await post('/v2/models/dynamic/infer', { inputs: [x([1, 2, 3])] })
    expect(answer.status).toBe(502)
    expect(JSON.stringify(answer.json)).toContain(
      'SCISSION_BENCHMARK_URL says where the benchmark service is',
    )
    expect((await post('/v2/models/unseen/infer', { inputs: [x([1, 2])] })).status).toBe(502)
    expect((await post('/v2/repository/models/unseen/load')).status).toBe(422)
  })
})

describe('the model repository', () => {
  it('lists what there is with its state, and on request only what is ready', async () => {
    await post('/v2/repository/models/branched/load')
    expect(await stateOf('branched', '2')).toMatchObject({ state: 'READY', reason: '' })
    expect(await stateOf('broken')).toMatchObject({ state: 'UNAVAILABLE', reason: 'not loaded yet' })
    const ready = (await post('/v2/repository/index', { ready: true })).json as { state: string }[]
    expect(new Set(ready.map((entry) => entry.state))).toEqual(new Set(['READY']))
    const empty = await call('POST', `${toy.service.url}/v2/repository/index`)
    expect(empty.status).toBe(200)
    const wrong = await post('/v2/repository/index', { ready: 'yes' })
    expect([wrong.status, wrong.json]).toEqual([
      400,
      { error: "Invalid value for 'ready': expected a boolean" },
    ])
  })

  it('loads and unloads; an unloaded model refuses requests until it is loaded again', async () => {
    const load = await post('/v2/repository/models/branched/load', { parameters: {} })
    expect([load.status, load.body.length]).toEqual([200, 0])
    expect((await get('/v2/models/branched/ready')).json).toEqual({ name: 'branched', ready: true })
    expect((await post('/v2/repository/models/branched/unload')).status).toBe(200)
    expect(toy.engine.loaded()).not.toContain('branched:0-3')
    const probe = await get('/v2/models/branched/ready')
    expect([probe.status, probe.json]).toMatchObject([503, { ready: false }])
    expect(await stateOf('branched', '2')).toMatchObject({ state: 'UNAVAILABLE', reason: 'unloaded' })
    const refused = await post('/v2/models/branched/infer', { inputs: [x([1, 2])] })
    expect([refused.status, refused.headers['retry-after']]).toEqual([503, '1'])
    await post('/v2/repository/models/branched/load')
    expect((await post('/v2/models/branched/infer', { inputs: [x([1, 2])] })).status).toBe(200)
  })

  it('unloads layer ranges along with their model when asked to', async () => {
    await post('/v2/models/branched/layers/0-1/infer', { inputs: [x([1, 2])] })
    expect(await stateOf('branched:0-1', '2')).toMatchObject({ state: 'READY' })
    await post('/v2/repository/models/branched/unload')
    expect(toy.engine.loaded()).toContain('branched:0-1')
    const wrong = await post('/v2/repository/models/branched/unload', {
      parameters: { unload_dependents: 1 },
    })
    expect(wrong.status).toBe(400)
    await post('/v2/repository/models/branched/unload', { parameters: { unload_dependents: true } })
    expect(toy.engine.loaded().filter((name) => name.startsWith('branched:'))).toEqual([])
    await post('/v2/repository/models/branched/load')
  })

  it('says why a model cannot be loaded, and recovers', async () => {
    toy.engine.failLoads.set(broken.model.id, 'node conv1: no such operator')
    const answer = await post('/v2/repository/models/broken/load')
    expect([answer.status, answer.json]).toEqual([422, { error: 'node conv1: no such operator' }])
    expect(await stateOf('broken')).toMatchObject({
      state: 'UNAVAILABLE',
      reason: 'node conv1: no such operator',
    })
    toy.engine.failLoads.clear()
    expect((await post('/v2/models/broken/infer', { inputs: [x([1, 2])] })).status).toBe(200)
    expect(await stateOf('broken')).toMatchObject({ state: 'READY' })
  })

  it('keeps what runs when a reload fails', async () => {
    await post('/v2/repository/models/broken/load')
    await toy.state.models.put(broken.model.id, { ...broken.model, shapesKey: null, inputShapes: null })
    await until(async () => (await post('/v2/repository/models/broken/load')).status === 422)
    await toy.state.models.put(broken.model.id, broken.model)
    await until(async () => (await get('/v2/models/broken/ready')).status === 200)
  })

  it('takes no files and no configuration', async () => {
    for (const parameters of [{ config: '{}' }, { 'file:1/model.onnx': 'AAAA' }]) {
      const answer = await post('/v2/repository/models/branched/load', { parameters })
      expect([answer.status, errorOf(answer.json)]).toEqual([400, expect.stringContaining('POST /v1/models')])
    }
    expect((await post('/v2/repository/models/nobody/load')).status).toBe(404)
    expect((await post('/v2/repository/models/nobody/unload')).status).toBe(404)
  })
})

describe('parameters of loading and unloading', () => {
  it.each(['load', 'unload'])('are read as those of other requests: %s', async (action) => {
    const statuses = async (given: unknown[]) => {
      const answers = given.map((parameters) =>
        post(`/v2/repository/models/branched:0-1/${action}`, { parameters }),
      )
      return (await Promise.all(answers)).map(({ status }) => status)
    }
    const absent = [null, {}, { config: null }, { unload_dependents: null }, { other: { a: [1] } }]
    expect(await statuses(absent)).toEqual(absent.map(() => 200))
    const wrong = [[], 'x', 1, { config: {} }, { triton_x: 1 }]
    expect(await statuses(wrong)).toEqual(wrong.map(() => 400))
  })
})

describe('statistics', () => {
  const statsOf = async (path: string) => {
    const { json } = await get(path)
    return (
      json as {
        model_stats: { name: string; version: string; inference_count: number; inference_stats: Stats }[]
      }
    ).model_stats
  }
  type Stats = Record<string, { count: number; ns: number }>

  it('grow with every request, failures apart', async () => {
    const before = (await statsOf('/v2/models/branched/versions/2/stats'))[0]
    await post('/v2/models/branched/infer', { inputs: [x([1, 2])] })
    await post('/v2/models/branched/infer', { inputs: [] })
    const all = await statsOf('/v2/models/branched/stats')
    expect(all.map(({ version }) => version)).toEqual(['1', '2'])
    const after = all[1]
    const grown = (key: string) =>
      (after?.inference_stats[key]?.count ?? 0) - (before?.inference_stats[key]?.count ?? 0)
    expect(grown('success')).toBe(1)
    expect(grown('fail')).toBe(1)
    expect(grown('compute_infer')).toBe(1)
    expect(after?.inference_stats['queue']?.ns).toBeGreaterThan(before?.inference_stats['queue']?.ns ?? 0)
    expect(after?.inference_count).toBe((before?.inference_count ?? 0) + 1)
  })

  it('count a layer range under its own name', async () => {
    await post('/v2/models/branched/layers/0-1/infer', { inputs: [x([1, 2])] })
    const names = (await statsOf('/v2/models/stats')).map((entry) => entry.name)
    expect(names).toContain('branched:0-1')
    expect((await statsOf('/v2/models/unseen/stats'))[0]).toMatchObject({ inference_count: 0 })
  })

  it('are there for Prometheus too', async () => {
    await post('/v2/models/branched/infer', { inputs: [x([1, 2])] })
    const text = (await get('/metrics')).body.toString()
    const sample = /scission_inference_requests_total\{model="branched",version="2",outcome="success"\} (\d+)/
    expect(Number(sample.exec(text)?.[1])).toBeGreaterThan(0)
    expect(text).toContain(
      'scission_inference_duration_seconds_total{model="branched",version="2",phase="queue"}',
    )
    expect(text).toContain('scission_executor_queued 0')
  })
})
