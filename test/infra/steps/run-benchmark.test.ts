/** Waiting for a benchmark can be given up; what the service does goes on. */
import { expect, it } from 'vitest'
import { runBenchmark } from '../../../infra/steps/run-benchmark.ts'
import { createBenchmarkClient } from '../../../shared/client/benchmark.ts'
import { stubServer } from '../../support/stub-server.ts'

it('the wait for a benchmark ends when it is given up, and what was shown is over', async () => {
  const progress = { fraction: 0.5, step: 'measuring' }
  const underWay = {
    id: 'b1',
    model: 'a'.repeat(64),
    shapesKey: 'b'.repeat(12),
    state: 'active',
    progress,
    parts: [{ resource: 'device', state: 'active', progress }],
    notes: [],
    createdAt: '2020-01-01T00:00:00.000Z',
  }
  const asked: string[] = []
  const givenUp = new AbortController()
  const service = await stubServer((req, res) => {
    asked.push(req.method ?? '')
    if (asked.length === 3) givenUp.abort(new Error('stopped by SIGINT'))
    res.setHeader('Content-Type', 'application/json').end(JSON.stringify(underWay))
  })
  const shown: string[] = []
  const display = { update: (name: string) => shown.push(name), stop: () => shown.push('stopped') }
  const client = createBenchmarkClient(service.url)
  const request = { model: underWay.model }
  await expect(runBenchmark(client, request, display, givenUp.signal)).rejects.toThrow('stopped by SIGINT')
  expect([asked, shown.at(-1)]).toEqual([['POST', 'GET', 'GET'], 'stopped'])
  await service.close()
})
