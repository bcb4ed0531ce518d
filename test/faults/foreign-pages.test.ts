/** What a page of another site can make a browser send changes nothing at any service. */
import http from 'node:http'
import path from 'node:path'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startInference, type TestService } from '../inference/support/service.ts'
import { branchedModel, register, toyEngine } from '../inference/support/toy-models.ts'
import { withFolder } from '../support/folder.ts'
import { withTestRedis } from '../support/redis.ts'
import { startBenchmark, type StartedService, startPlanner } from '../support/services.ts'

const toy = branchedModel('a')
const redis = withTestRedis()
const folder = withFolder('foreign-pages')
let benchmark: StartedService
let planner: StartedService
let device: TestService
const JSON_BODY = { 'Content-Type': 'application/json' }

beforeAll(async () => {
  await register(redis().state, toy)
  const env = { REDIS_URL: redis().url, SCISSION_DATA: path.join(folder(), 'benchmark') }
  benchmark = await startBenchmark(env)
  planner = await startPlanner(redis().url)
  const machine = { SCISSION_RESOURCE: 'device', SCISSION_TIER: 'device' }
  device = await startInference(redis().url, machine, toyEngine([toy]))
  expect(await post(`${device.url}/v2/repository/models/branched/load`, JSON_BODY, '{}')).toBe(200)
})
afterAll(async () => {
  await device?.stop()
  await planner?.close()
  await benchmark?.close()
})

function post(url: string, headers: http.OutgoingHttpHeaders, body: string): Promise<number> {
  return new Promise((resolve, reject) => {
    const asking = http.request(url, { method: 'POST', headers }, (res) => {
      res.resume()
      resolve(res.statusCode ?? 0)
    })
    asking.on('error', reject).end(body)
  })
}

const PAGES: [string, http.OutgoingHttpHeaders, number][] = [
  ['its origin', { ...JSON_BODY, Origin: 'http://evil.example' }, 403],
  ['its name for this address', { ...JSON_BODY, Host: 'evil.example' }, 403],
  ['a body that needs no leave', { 'Content-Type': 'text/plain' }, 415],
]
const COMMANDS: [string, () => string, object][] = [
  ['a benchmark', () => `${benchmark.url}/v1/benchmarks`, { model: 'branched' }],
  ['a deployment', () => `${planner.url}/v1/deployments`, { name: 'stolen', plan: 'any' }],
  ['an unload', () => `${device.url}/v2/repository/models/branched/unload`, {}],
]

describe.each(COMMANDS)('%s', (_what, url, body) => {
  it.each(PAGES)('is refused to a page that shows %s', async (_shown, headers, status) => {
    expect(await post(url(), headers, JSON.stringify(body))).toBe(status)
  })
})

it('nothing of it was done', async () => {
  const { state } = redis()
  expect(await state.deployments.ids()).toEqual([])
  expect(await state.redis.keys('bull:*')).toEqual(expect.not.arrayContaining(['bull:benchmark.device:wait']))
  expect((await fetch(`${device.url}/v2/models/branched/ready`)).status).toBe(200)
  // Not because it cannot be done at all.
  expect(await post(`${device.url}/v2/repository/models/branched/unload`, JSON_BODY, '{}')).toBe(200)
})
