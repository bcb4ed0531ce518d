import { describe, expect, it } from 'vitest'
import { createMetrics } from '../../../services/inference/api/metrics.ts'
import { Statistics } from '../../../services/inference/api/request-statistics.ts'

const TIMES = { totalMs: 4, queueMs: 1, inputMs: 1, inferMs: 1, outputMs: 1 }
const none = () => 0
const textOf = (statistics: Statistics) =>
  createMetrics({
    statistics,
    executor: () => ({ threads: [], processes: [], stages: [] }),
    incomplete: none,
    standIns: () => [],
    conditions: { active: none, began: none },
  }).metrics()

describe('the counters of requests', () => {
  it('have no name for each range that a client makes up', async () => {
    const statistics = new Statistics()
    for (let to = 1; to <= 5000; to += 1) statistics.failed(`model:0-${to}`, '1', 1)
    expect(statistics.all().map(({ name }) => name)).toEqual(['model'])
    expect(statistics.of('model', '1').inference_stats.fail.count).toBe(5000)
    // One that answers has its own, and its failures count there.
    statistics.succeeded('model:0-3', '1', TIMES, 0)
    statistics.failed('model:0-3', '1', 1)
    expect(statistics.of('model:0-3', '1').inference_stats.fail.count).toBe(1)
    expect((await textOf(statistics)).length).toBeLessThan(10_000)
  })

  it('are together for the names beyond a limit', async () => {
    const statistics = new Statistics()
    for (let to = 1; to <= 5000; to += 1) statistics.succeeded(`model:0-${to}`, '1', TIMES, 0)
    const counted = statistics
      .all()
      .map(({ inference_stats }) => inference_stats.success.count)
      .reduce((sum, count) => sum + count, 0)
    expect([counted, statistics.served]).toEqual([5000, 5000])
    expect(statistics.all().length).toBeLessThan(600)
    expect((await textOf(statistics)).length).toBeLessThan(600_000)
  })
})
