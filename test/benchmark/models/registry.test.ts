import { workerOptions, resourceQueue } from '../../../shared/platform/redis/queues.ts'
import { access, mkdir, readdir, rm, utimes, writeFile } from 'node:fs/promises'
import path from 'node:path'
import { once } from 'node:events'
import { Queue, Worker } from 'bullmq'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { workerConnection } from '../../../shared/platform/redis/connections.ts'
import { structureId } from '../../../shared/platform/redis/state.ts'
import { exampleDeployment, exampleProfile, exampleResource, hop } from '../../support/fixtures.ts'
import { gate } from '../../support/gate.ts'
import { ownFile } from '../../support/test-models.ts'
import { withBenchmarkService } from '../harness.ts'
import { JSON_TYPE } from '../../support/json-type.ts'

const harness = withBenchmarkService()
const client = () => harness().client

beforeEach(async () => {
  harness().redis.restore()
  await harness().open()
  for (const { id } of await harness().state.deployments.all()) await harness().state.deployments.delete(id)
  for (const model of await client().models()) await client().deleteModel(model.id)
})

const DIGITS = ownFile('digits-cnn.onnx')
const upload = (name = 'net') => client().uploadModel(DIGITS, name)

describe('the registry', () => {
  it('comes back from the store when Redis has forgotten it', async () => {
    await upload()
    const before = { model: await client().model('net'), structure: await client().structure('net') }
    await harness().close()
    await harness().state.redis.flushall()
    await harness().open()
    expect({ model: await client().model('net'), structure: await client().structure('net') }).toEqual(before)
    const { id, shapesKey } = before.model
    expect(await harness().state.structures.get(structureId(id, shapesKey ?? ''))).toEqual(before.structure)
  })

  it('comes back also when an emulated Redis restarted under a running service', async () => {
    const model = await upload()
    harness().redis.cut()
    await harness().state.redis.flushall()
    harness().redis.restore()
    await expect.poll(() => harness().state.models.get(model.id)).toBeDefined()
    expect((await client().model('net')).id).toBe(model.id)
  })

  it('analyses again what another version analysed: its layers may have other numbers', async () => {
    const { id, shapesKey } = await upload()
    const folder = path.join(harness().dataDir, 'models', id)
    const old = { ...(await harness().state.models.get(id)), shapesKey: 'aaaaaaaaaaaa' }
    await harness().close()
    await harness().state.redis.flushall()
    for (const file of await readdir(folder))
      if (file.startsWith(shapesKey ?? '')) await rm(path.join(folder, file))
    await writeFile(path.join(folder, 'model.json'), JSON.stringify(old))
    await harness().open()
    expect(await client().model('net')).toMatchObject({ id, shapesKey })
    const structure = structureId(id, shapesKey ?? '')
    await expect.poll(() => harness().state.structures.find(structure), { timeout: 20_000 }).toBeDefined()
  })

  it('leaves out a record that cannot be read, until the model is uploaded again', async () => {
    const model = await upload()
    await harness().close()
    await harness().state.redis.flushall()
    await writeFile(path.join(harness().dataDir, 'models', model.id, 'model.json'), '{"id": 1}')
    await harness().open()
    expect(await client().models()).toEqual([])
    expect((await upload('again')).id).toBe(model.id)
    expect((await client().structure('again')).layers.length).toBe(model.layers)
  })

  it('puts back what cannot be read in Redis: a structure when it is needed, a model when it is uploaded again', async () => {
    const model = await upload()
    const before = await client().structure('net')
    const { redis } = harness().state
    await redis.hset('scission:structures', structureId(model.id, model.shapesKey ?? ''), 'hello {')
    expect(await client().structure('net')).toEqual(before)
    await redis.hset('scission:models', model.id, '{"id": 7}')
    expect(await upload()).toEqual(model)
    expect(await client().model('net')).toEqual(model)
  })

  it('is cleared of what an interrupted service left half done, but not of uploads under way', async () => {
    const incoming = path.join(harness().dataDir, 'incoming')
    for (const [name, ageMs] of [
      ['upload-old', 7_200_000],
      ['upload-new', 0],
    ] as const) {
      await mkdir(path.join(incoming, name))
      await writeFile(path.join(incoming, name, 'model.onnx'), 'half')
      const then = new Date(Date.now() - ageMs)
      await utimes(path.join(incoming, name, 'model.onnx'), then, then)
      await utimes(path.join(incoming, name), then, then)
    }
    await harness().open()
    expect((await harness().onDisk()).incoming).toEqual(['upload-new'])
  })
})

describe('deleting a model', () => {
  it('deletes its files, structures and profiles', async () => {
    const model = await upload()
    const identity = { model: model.id, shapesKey: model.shapesKey ?? '' }
    const profile = exampleProfile('device', [1, 2], identity as never)
    await harness().state.profiles.put(profile.id, profile)
    await client().deleteModel('net')
    await expect(client().model('net')).rejects.toMatchObject({ code: 'notFound' })
    await expect(access(path.join(harness().dataDir, 'models', model.id))).rejects.toThrow()
    expect(await harness().onDisk()).toMatchObject({ models: [] })
    expect((await harness().state.structures.all()).filter((one) => one.model === model.id)).toEqual([])
    expect((await harness().state.profiles.all()).filter((one) => one.model === model.id)).toEqual([])
    await expect(client().deleteModel('net')).rejects.toMatchObject({ code: 'notFound' })
  })

  it('tells those who wait for its analysis that it is gone', async () => {
    const model = await client().uploadModel(ownFile('encoder-dynamic.onnx'), 'net')
    const shapeOf = (shape: readonly (number | string)[]) =>
      shape.map((dim) => (dim === 'batch' ? 1 : typeof dim === 'string' ? 7 : dim))
    const shapes = Object.fromEntries(model.inputs.map(({ name, shape }) => [name, shapeOf(shape)]))
    const asked = fetch(`${harness().url}/v1/models/net/layers`, {
      method: 'POST',
      headers: JSON_TYPE,
      body: JSON.stringify({ inputShapes: shapes }),
    })
    // The file that the analysis gives ONNX Runtime.
    const folder = path.join(harness().dataDir, 'models', model.id)
    const working = async () => (await readdir(folder)).some((name) => name.startsWith('.scission-'))
    await expect.poll(working, { interval: 1 }).toBe(true)
    await client().deleteModel('net')
    const answer = await asked
    expect([answer.status, await answer.text()]).toEqual([404, expect.stringContaining('notFound')])
  })

  it('takes away only the name when it has others', async () => {
    const model = await upload('net')
    await upload('digits')
    await client().deleteModel('net')
    await expect(client().model('net')).rejects.toMatchObject({ code: 'notFound' })
    expect(await client().model('digits')).toMatchObject({ id: model.id, name: 'digits' })
    await client().deleteModel('digits')
    expect(await client().models()).toEqual([])
  })

  it('is refused while a deployment serves it', async () => {
    const model = await upload()
    const { id, shapesKey } = model
    const changes = { model: id, ...(shapesKey && { shapesKey }) }
    const deployment = exampleDeployment('live', [hop('device', 0, 1)], changes)
    await harness().state.deployments.put('live', deployment)
    await expect(client().deleteModel('net')).rejects.toMatchObject({
      code: 'conflict',
      message: expect.stringContaining('live') as string,
    })
    expect((await client().model('net')).id).toBe(model.id)
  })

  it('is refused while a benchmark measures it', async () => {
    await upload()
    await harness().state.resources.put('device', exampleResource('device'))
    const benchmark = await client().startBenchmark({ model: 'net', resources: ['device'] })
    await expect(client().deleteModel('net')).rejects.toMatchObject({ code: 'conflict' })
    await client().cancelBenchmark(benchmark.id)
    await expect
      .poll(() =>
        client()
          .deleteModel('net')
          .then(
            () => 'deleted',
            () => 'refused',
          ),
      )
      .toBe('deleted')
  })
})

describe('a model that is uploaded while it is deleted by its only name', () => {
  it('keeps the name that its upload was answered with', async () => {
    const model = await upload('net')
    // Between the deletion's look at the names and the deletion itself.
    const looking = gate()
    const release = looking.close()
    const getJobs = vi.spyOn(Queue.prototype, 'getJobs').mockImplementationOnce(async () => {
      await looking.opened()
      return []
    })
    const deleted = client().deleteModel('net')
    await expect.poll(() => getJobs.mock.calls.length).toBe(1)
    const uploaded = upload('again')
    await Promise.race([uploaded, new Promise((resolve) => setTimeout(resolve, 500))])
    release()
    await deleted
    getJobs.mockRestore()
    expect((await uploaded).id).toBe(model.id)
    expect(await client().model('again')).toMatchObject({ id: model.id, name: 'again' })
    await expect(client().model('net')).rejects.toMatchObject({ code: 'notFound' })
  })
})

describe('two replicas of the service', () => {
  it('know the same models and benchmarks, and make one of the same upload and the same request', async () => {
    const replica = await harness().replica()
    try {
      const models = await Promise.all(
        [client(), replica.client].map((one) => one.uploadModel(DIGITS, 'net')),
      )
      expect(new Set(models.map((model) => `${model.id} ${model.version}`)).size).toBe(1)
      await harness().state.resources.put('device', exampleResource('device'))
      const request = { model: 'net', resources: ['device'] }
      const started = await Promise.all([client(), replica.client].map((one) => one.startBenchmark(request)))
      expect(started[0]?.id).toBe(started[1]?.id)
      const id = started[0]?.id ?? ''
      await replica.client.cancelBenchmark(id)
      await expect.poll(async () => (await client().benchmark(id)).state).toBe('cancelled')
      await client().deleteModel('net')
      await expect(replica.client.model('net')).rejects.toMatchObject({ code: 'notFound' })
    } finally {
      await replica.close()
    }
  })
})

describe('without Redis', () => {
  it('refuses an upload before its bytes travel, and stores nothing of it', async () => {
    harness().redis.cut()
    await expect.poll(async () => (await fetch(`${harness().url}/readyz`)).status).toBe(503)
    await expect(upload()).rejects.toMatchObject({ code: 'queueUnavailable' })
    expect(await harness().onDisk()).toMatchObject({ models: [] })
  })

  it('loses no benchmark: it goes on when Redis is back', async () => {
    await upload()
    await harness().state.resources.put('device', exampleResource('device'))
    const { id } = await client().startBenchmark({ model: 'net', resources: ['device'] })
    harness().redis.cut()
    await expect.poll(async () => (await fetch(`${harness().url}/readyz`)).status).toBe(503)
    const connection = workerConnection(harness().redis.directUrl)
    const worker = new Worker(resourceQueue('device'), () => Promise.resolve('p'), workerOptions(connection))
    await once(worker, 'completed')
    harness().redis.restore()
    await expect
      .poll(
        () =>
          client()
            .benchmark(id)
            .then(
              (benchmark) => benchmark.state,
              () => 'unreachable',
            ),
        {
          timeout: 10_000,
        },
      )
      .toBe('completed')
    await worker.close()
    connection.disconnect()
  })

  it('says so quickly and clearly, and works again once it is back', async () => {
    harness().redis.cut()
    await expect.poll(async () => (await fetch(`${harness().url}/readyz`)).status).toBe(503)
    const calls: [string, RequestInit][] = [
      ['/v1/models', {}],
      ['/v1/models/x', {}],
      ['/v1/profiles', {}],
      ['/v1/benchmarks', {}],
      ['/v1/benchmarks/x', {}],
      ['/v1/benchmarks/x/events', {}],
      ['/v1/benchmarks', { method: 'POST', headers: JSON_TYPE, body: JSON.stringify({ model: 'x' }) }],
    ]
    for (const [url, init] of calls) {
      const answer = await fetch(harness().url + url, { ...init, signal: AbortSignal.timeout(8000) })
      expect(answer.status, url).toBe(503)
      expect(await answer.json()).toMatchObject({ error: { code: 'queueUnavailable' } })
    }
    expect((await fetch(`${harness().url}/healthz`)).status).toBe(200)
    harness().redis.restore()
    await expect
      .poll(async () => (await fetch(`${harness().url}/v1/benchmarks`)).status, { timeout: 10_000 })
      .toBe(200)
    expect(await client().models()).toEqual([])
  })
})
