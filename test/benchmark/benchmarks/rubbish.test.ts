/** Jobs and events in Redis that nobody can read: benchmarks beside them are started, listed, followed and cancelled. */
import { Queue, QueueEvents } from 'bullmq'
import { describe, expect, it, vi } from 'vitest'
import { refuseWhileMeasured } from '../../../services/benchmark/benchmarks/end-benchmark.ts'
import { BenchmarkQueues } from '../../../services/benchmark/benchmarks/benchmark-queues.ts'
import type { Benchmark } from '../../../shared/contracts/profile.ts'
import {
  PARENT_QUEUE,
  queueOptions,
  resourceQueue,
  withErrorHandler,
} from '../../../shared/platform/redis/queues.ts'
import { exampleModel, exampleResource } from '../../support/fixtures.ts'
import { recordedLog } from '../../support/recorded-log.ts'
import { RUBBISH_RECORDS } from '../../support/rubbish.ts'
import { withBenchmarks } from './harness.ts'

const harness = withBenchmarks()

/** One delayed parent job for each kind of rubbish. */
async function litterParents(): Promise<void> {
  const { redis } = harness.state
  const parents = withErrorHandler(new Queue(PARENT_QUEUE, queueOptions(redis)), 'test')
  for (const rubbish of Object.values(RUBBISH_RECORDS)) {
    const { id } = await parents.add('benchmark', {}, { delay: 3_600_000 })
    await redis.hset(`bull:${PARENT_QUEUE}:${id}`, 'data', rubbish)
  }
  await parents.close()
}

describe('jobs that cannot be read', () => {
  it('are left out of the list, do not count as benchmarks of a model, and are logged once', async () => {
    await litterParents()
    const { id } = await harness.client.startBenchmark({ model: 'chain' })
    const answer = await fetch(`${harness.url}/v1/benchmarks`)
    const { items } = (await answer.json()) as { items: Benchmark[] }
    expect(items.map((one) => one.id)).toEqual([id])

    const { log, lines } = recordedLog()
    const queues = new BenchmarkQueues(harness.state.redis, log)
    for (const _time of [1, 2])
      await expect(refuseWhileMeasured(queues, exampleModel())).rejects.toMatchObject({
        code: 'conflict',
        details: { benchmark: id },
      })
    await queues.close()
    const leftOut = lines.filter((line) => line.startsWith('left out: job '))
    expect(leftOut).toHaveLength(Object.keys(RUBBISH_RECORDS).length)
    expect(leftOut.filter((line) => line.length > 500 || line.includes('\n'))).toEqual([])
  })

  it('make their part of a benchmark fail, and no other', async () => {
    const { id } = await harness.client.startBenchmark({ model: 'chain' })
    await harness.state.redis.hset(`bull:${resourceQueue('device')}:${id}.device`, 'data', 'hello {')
    expect((await harness.client.benchmark(id)).parts).toMatchObject([
      { resource: 'cloud', state: 'waiting' },
      { resource: 'device', state: 'failed' },
    ])
  })
})

describe('an id that is none of a benchmark', () => {
  it('is unknown, also if it is a key that BullMQ keeps beside the jobs', async () => {
    const { id } = await harness.client.startBenchmark({ model: 'chain' })
    for (const other of ['meta', 'id', 'events', 'waiting-children', `${id}:dependencies`, 'nothing']) {
      for (const [method, suffix] of [
        ['GET', ''],
        ['DELETE', ''],
        ['GET', '/events'],
      ] as const) {
        const answer = await fetch(`${harness.url}/v1/benchmarks/${encodeURIComponent(other)}${suffix}`, {
          method,
        })
        expect([other, suffix, answer.status, await answer.text()]).toEqual([
          other,
          suffix,
          404,
          expect.stringContaining(`unknown benchmark`),
        ])
      }
    }
  })
})

describe('the record of a resource that cannot be read', () => {
  it('ends no watch over a benchmark: its part fails when it has been silent for too long', async () => {
    const heartbeatMs = 25
    await harness.open(1000, heartbeatMs)
    const heartbeatAt = new Date(Date.now() + 60_000).toISOString()
    await harness.state.resources.put('device', exampleResource('device', { heartbeatAt }))
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['device'] })
    await harness.state.redis.hset('scission:resources', 'device', 'hello {')
    expect((await harness.ended(id)).parts).toMatchObject([
      { resource: 'device', state: 'failed', error: expect.stringContaining('no sign of life') as string },
    ])
  })
})

describe('events that cannot be read', () => {
  it('end neither their reader nor a stream of events before its benchmark', async () => {
    const { id } = await harness.client.startBenchmark({ model: 'chain' })
    const stream = await fetch(`${harness.url}/v1/benchmarks/${id}/events`)
    // BullMQ reports each event that is not JSON as an error of the reader of its queue.
    const emit = vi.spyOn(QueueEvents.prototype, 'emit')
    const faultsOf = (queue: string) =>
      emit.mock.contexts.filter(
        (reader, at) => (reader as QueueEvents).name === queue && emit.mock.calls[at]?.[0] === 'error',
      ).length
    const { redis } = harness.state
    const queues = [PARENT_QUEUE, resourceQueue('cloud'), resourceQueue('device')]
    const litter = async () => {
      for (const queue of queues) {
        await redis.xadd(`bull:${queue}:events`, '*', 'event', 'active')
        const rubbish = ['event', 'progress', 'jobId', `${id}.device`, 'data', 'not JSON']
        await redis.xadd(`bull:${queue}:events`, '*', ...rubbish)
      }
      return queues.map((queue) => faultsOf(queue) > 1)
    }
    // Each reader comes upon two of them, so it went on after the first. One that is written between two reads is missed.
    await expect.poll(litter).toEqual([true, true, true])
    emit.mockRestore()
    await harness.client.cancelBenchmark(id)
    expect(await stream.text()).toMatch(/event: progress[^]*event: failed/)
  })
})
