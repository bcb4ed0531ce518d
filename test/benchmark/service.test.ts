import { readFile } from 'node:fs/promises'
import { describe, expect, it } from 'vitest'
import { ownFile } from '../support/test-models.ts'
import { withBenchmarkService } from './harness.ts'

const harness = withBenchmarkService()

const get = async (path: string) => (await fetch(harness().url + path)).json()

describe('the benchmark service', () => {
  it('says that its Redis is emulated', async () => {
    expect(await get('/healthz')).toMatchObject({ service: 'benchmark', redis: 'emulated' })
  })

  it('describes every route that it has', async () => {
    const description = (await get('/openapi.json')) as { paths: Record<string, Record<string, unknown>> }
    const own = Object.entries(description.paths).filter(([path]) => path.startsWith('/v1/'))
    const routes = own.flatMap(([path, methods]) => Object.keys(methods).map((method) => `${method} ${path}`))
    expect(routes.sort()).toEqual([
      'delete /v1/benchmarks/{id}',
      'delete /v1/calibrations/{id}',
      'delete /v1/models/{model}',
      'delete /v1/models/{model}/samples',
      'delete /v1/profiles/{id}',
      'get /v1/benchmarks',
      'get /v1/benchmarks/{id}',
      'get /v1/benchmarks/{id}/events',
      'get /v1/calibrations',
      'get /v1/calibrations/{id}',
      'get /v1/calibrations/{id}/samples',
      'get /v1/calibrations/{id}/samples/about',
      'get /v1/models',
      'get /v1/models/{model}',
      'get /v1/models/{model}/files/{path}',
      'get /v1/models/{model}/layers',
      'get /v1/models/{model}/ranges/{range}',
      'get /v1/models/{model}/ranges/{range}/manifest',
      'get /v1/models/{model}/samples',
      'get /v1/models/{model}/samples/data',
      'get /v1/profiles',
      'get /v1/profiles/{id}',
      'post /v1/benchmarks',
      'post /v1/calibrations',
      'post /v1/models',
      'post /v1/models/{model}/layers',
      'post /v1/profiles',
      'put /v1/models/{model}/samples',
    ])
  })
})

describe('a model that is too much for ONNX Runtime', () => {
  it.each([
    ['SCISSION_ANALYSE_TIMEOUT_MS', '150', /150 ms/],
    ['SCISSION_ANALYSE_MEMORY_BYTES', '1048576', /memory|bytes/],
  ])('takes down only its throw-away child: %s', async (setting, limit, reason) => {
    await harness().open({ [setting]: limit })
    const body = await readFile(ownFile('digits-cnn.onnx'))
    const answer = await fetch(`${harness().url}/v1/models?name=heavy`, { method: 'POST', body })
    expect(answer.status).toBe(422)
    const { error } = (await answer.json()) as { error: { code: string; message: string } }
    expect(error).toMatchObject({ code: 'invalidModel', message: expect.stringMatching(reason) as string })
    expect(await harness().onDisk()).toEqual({ models: [], incoming: [] })
    expect((await fetch(`${harness().url}/v1/models`)).status).toBe(200)
  })
})

describe('a benchmark with input shapes that do not fit', () => {
  it('is refused with the reason, and nothing is queued', async () => {
    const client = await harness().open()
    await client.uploadModel(ownFile('digits-cnn.onnx'), 'digits')
    const started = (inputShapes: Record<string, number[]>) =>
      client.startBenchmark({ model: 'digits', inputShapes })
    await expect(started({ image: [1, 1, 28] })).rejects.toThrow(/image/)
    await expect(started({ nosuch: [1] })).rejects.toThrow(/nosuch/)
    const listed = (await (await fetch(`${harness().url}/v1/benchmarks`)).json()) as { items: unknown[] }
    expect(listed.items).toEqual([])
  })
})
