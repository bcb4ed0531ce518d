import http from 'node:http'
import { Queue } from 'bullmq'
import { describe, expect, it, vi } from 'vitest'
import type { Benchmark } from '../../../shared/contracts/profile.ts'
import { gate } from '../../support/gate.ts'
import { withBenchmarks } from './harness.ts'

const harness = withBenchmarks()

interface StreamEvent {
  id: number
  event: string
  data: Benchmark
}

/** Reads a stream of server-sent events to its end, or until `enough` says so. */
async function follow(
  url: string,
  enough: (event: StreamEvent) => boolean = () => false,
): Promise<StreamEvent[]> {
  const answer = await new Promise<http.IncomingMessage>((resolve, reject) => {
    http.get(url, { agent: false }, resolve).on('error', reject)
  })
  expect(answer.headers['content-type']).toMatch(/^text\/event-stream/)
  const events: StreamEvent[] = []
  let text = ''
  for await (const chunk of answer.setEncoding('utf8')) {
    text += String(chunk)
    for (let end = text.indexOf('\n\n'); end >= 0; end = text.indexOf('\n\n')) {
      const lines = text.slice(0, end).split('\n')
      text = text.slice(end + 2)
      const field = (name: string) =>
        lines.find((line) => line.startsWith(`${name}: `))?.slice(name.length + 2)
      if (field('event') === undefined) continue
      const event = {
        id: Number(field('id')),
        event: field('event') ?? '',
        data: JSON.parse(field('data') ?? ''),
      }
      events.push(event)
      if (enough(event)) answer.destroy()
    }
    if (answer.destroyed) break
  }
  return events
}

const eventsOf = (id: string) => `${harness.url}/v1/benchmarks/${id}/events`

describe('the events of a benchmark', () => {
  it('are its progress as it comes, then its end, and then nothing more', async () => {
    let step = () => {}
    harness.resource('cloud', async (job) => {
      for (const fraction of [0.25, 0.5, 0.75]) {
        await job.updateProgress({ fraction, step: `at ${fraction}` })
        await new Promise<void>((resolve) => {
          step = resolve
        })
      }
      return 'the-profile'
    })
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    const events = await follow(eventsOf(id), ({ data }) => {
      if (data.parts[0]?.progress.step.startsWith('at')) step()
      return false
    })
    expect(events.map((event) => event.id)).toEqual(events.map((_event, index) => index + 1))
    const fractions = events.map((event) => event.data.progress.fraction)
    expect(fractions).toEqual([...fractions].sort((a, b) => a - b))
    expect(fractions).toEqual(expect.arrayContaining([0.25, 0.5, 0.75, 1]))
    expect(events.map((event) => event.event)).toEqual([
      ...events.slice(1).map(() => 'progress'),
      'completed',
    ])
    expect(events.at(-1)?.data.parts[0]?.profile).toBe('the-profile')
  })

  it('are just the end when it has ended already', async () => {
    harness.succeeding('cloud')
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    await harness.ended(id)
    expect((await follow(eventsOf(id))).map((event) => event.event)).toEqual(['completed'])
  })

  it('end with failed when it was cancelled, and every follower is told', async () => {
    harness.endless('cloud')
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    const followers = [follow(eventsOf(id)), follow(eventsOf(id))]
    await expect.poll(() => harness.followers).toBe(2)
    await harness.client.cancelBenchmark(id)
    for (const events of await Promise.all(followers)) {
      expect(events.at(-1)).toMatchObject({ event: 'failed', data: { state: 'cancelled' } })
    }
  })

  it('are no longer fed once the client has left', async () => {
    harness.endless('cloud')
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    await follow(eventsOf(id), () => true)
    await expect.poll(() => harness.followers).toBe(0)
    await harness.client.cancelBenchmark(id)
  })

  it('are not fed to a client that has left before they began', async () => {
    const { id } = await harness.client.startBenchmark({ model: 'chain' })
    const looking = gate()
    const release = looking.close()
    const getJob = vi.spyOn(Queue.prototype, 'getJob')
    getJob.mockImplementationOnce(async function (this: Queue, wanted: string) {
      await looking.opened()
      return this.getJob(wanted)
    })
    const leaving = http.get(eventsOf(id), { agent: false }).on('error', () => undefined)
    await expect.poll(looking.waiting).toBe(1)
    leaving.destroy()
    // The service learns of it before it goes on.
    await new Promise((resolve) => setTimeout(resolve, 200))
    const calls = getJob.mock.calls.length
    release()
    await expect.poll(() => getJob.mock.calls.length).toBeGreaterThan(calls)
    await new Promise((resolve) => setTimeout(resolve, 200))
    getJob.mockRestore()
    expect(harness.followers).toBe(0)
  })
})
