/** Fifty jobs of one client, benchmarks and calibrations, do not make another wait for all of them. */
import http from 'node:http'
import { text } from 'node:stream/consumers'
import { Queue, Worker } from 'bullmq'
import { beforeEach, describe, expect, it } from 'vitest'
import { producerConnection, workerConnection } from '../../shared/platform/redis/connections.ts'
import { queueOptions, resourceQueue, workerOptions } from '../../shared/platform/redis/queues.ts'
import { structureId } from '../../shared/platform/redis/state.ts'
import { eventually } from '../support/eventually.ts'
import { exampleModel, exampleResource, exampleStructure } from '../support/fixtures.ts'
import { JSON_TYPE } from '../support/json-type.ts'
import { withBenchmarkService } from './harness.ts'

const harness = withBenchmarkService()
const model = exampleModel()
/** Clients: Linux has the whole of 127.0.0.0/8. */
const MANY = '127.0.0.2'
const ONE = '127.0.0.1'

beforeEach(async () => {
  const { state } = harness()
  await state.redis.flushall()
  const structure = exampleStructure()
  await state.models.put(model.id, model)
  await state.structures.put(structureId(model.id, structure.shapesKey), structure)
  const heartbeatAt = new Date(Date.now() + 3_600_000).toISOString()
  await state.resources.put('cloud', exampleResource('cloud', { heartbeatAt }))
})

/** @returns the id of what was begun, by `client`. */
async function post(client: string, what: string, body: object): Promise<string> {
  const answer = await tried(client, what, body)
  expect([answer.status, answer.body]).toEqual([202, expect.anything()])
  return (JSON.parse(answer.body) as { id: string }).id
}

function tried(client: string, what: string, body: object): Promise<{ status: number; body: string }> {
  return new Promise((resolve, reject) => {
    const options = { method: 'POST', localAddress: client, agent: false, headers: JSON_TYPE }
    const request = http.request(`${harness().url}/v1/${what}`, options, (response) => {
      text(response).then((read) => resolve({ status: response.statusCode ?? 0, body: read }), reject)
    })
    request.on('error', reject)
    request.end(JSON.stringify({ model: model.id, ...body }))
  })
}

/** Requests that differ in `runs` are different ones. */
const benchmark = (client: string, runs: number) => post(client, 'benchmarks', { resources: ['cloud'], runs })
const calibration = (client: string) =>
  post(client, 'calibrations', { resource: 'cloud', madeUp: { samples: 1, seed: 1 } })

/** Works the queue, and writes down in which order its jobs come. @param meanwhile done while the first one is worked on. */
async function worked(count: number, meanwhile?: () => Promise<void>): Promise<string[]> {
  const order: string[] = []
  const connection = workerConnection(harness().redis.directUrl)
  const work = async ({ data }: { data: { benchmark?: string; calibration?: string } }) => {
    order.push(data.benchmark ?? data.calibration ?? '')
    if (order.length === 1) await meanwhile?.()
    return 'done'
  }
  const worker = new Worker(resourceQueue('cloud'), work, { ...workerOptions(connection), drainDelay: 0.5 })
  worker.on('error', () => undefined)
  await eventually(() => expect(order).toHaveLength(count))
  await worker.close()
  connection.disconnect()
  return order
}

const isLinux = process.platform === 'linux'
if (!isLinux) process.stdout.write('skipped: a second client has an address of its own on Linux only\n')

describe.skipIf(!isLinux)('jobs of a resource', () => {
  it('alternate between clients, whatever kind they are, and also when the service was started anew', async () => {
    const many: string[] = []
    for (const runs of [11, 12, 13, 14]) many.push(await benchmark(MANY, runs))
    many.push(await calibration(MANY))
    await harness().open()
    const one = [await calibration(ONE), await benchmark(ONE, 21)]
    const [m1, m2, m3, m4, m5] = many
    expect(await worked(7)).toEqual([m1, one[0], m2, one[1], m3, m4, m5])
  })

  it('come in the round that is worked on: who comes later waits for one job, and passes none by', async () => {
    const many = [await benchmark(MANY, 11), await benchmark(MANY, 12), await benchmark(MANY, 13)]
    const one: string[] = []
    const order = await worked(6, async () => {
      for (const runs of [21, 22, 23]) one.push(await benchmark(ONE, runs))
    })
    expect(order).toEqual([many[0], one[0], many[1], one[1], many[2], one[2]])
  })

  it('of one client may not fill the queue, and another still gets in', async () => {
    const answers: number[] = []
    for (let runs = 100; runs < 164; runs += 1) {
      const { status } = await tried(MANY, 'benchmarks', { resources: ['cloud'], runs })
      answers.push(status)
    }
    expect(new Set(answers)).toEqual(new Set([202]))
    const refused = await tried(MANY, 'benchmarks', { resources: ['cloud'], runs: 200 })
    expect([refused.status, refused.body]).toEqual([
      429,
      expect.stringMatching(/64 jobs of this client wait.*cloud/),
    ])
    const sampled = await tried(MANY, 'calibrations', { resource: 'cloud', madeUp: { samples: 1, seed: 1 } })
    expect(sampled.status).toBe(429)
    await benchmark(ONE, 200)
    const queue = new Queue(
      resourceQueue('cloud'),
      queueOptions(producerConnection(harness().redis.directUrl)),
    )
    expect(await queue.getPrioritizedCount()).toBe(65)
    await queue.close()
  })
})
