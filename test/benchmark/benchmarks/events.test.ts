import http from 'node:http'
import { Queue } from 'bullmq'
import { describe, expect, it, vi } from 'vitest'
import type { Benchmark } from '../../../shared/contracts/profile.ts'
import { connectAfter, readEvents } from '../../support/event-source.ts'
import { gate } from '../../support/gate.ts'
import { call } from '../../inference/support/service.ts'
import { withBenchmarks } from './harness.ts'

const harness = withBenchmarks()
const NAMES = ['progress', 'completed', 'failed'] as const

interface StreamEvent {
  id: string
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
        id: field('id') ?? '',
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
    for (const { id: given, event } of events) expect(given).toMatch(new RegExp(`^${event}\\.[0-9a-f]{16}$`))
    expect(new Set(events.map((event) => event.id)).size).toBe(events.length)
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

describe('EventSource', () => {
  /** A benchmark of three steps, each of which ends when it is told to. */
  async function stepwise() {
    const steps: (() => void)[] = []
    harness.resource('cloud', async (job) => {
      for (const fraction of [0.25, 0.5, 0.75]) {
        await job.updateProgress({ fraction, step: `at ${fraction}` })
        await new Promise<void>((resolve) => steps.push(resolve))
      }
      return 'the-profile'
    })
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    return { id, next: () => steps.at(-1)?.() }
  }

  const fractionsOf = (events: { data: unknown }[]) =>
    events.map(({ data }) => (data as Benchmark).progress.fraction)

  it.each([
    ['its stream was ended in the middle', async () => harness.endStreams()],
    ['the service was started anew in the middle', () => harness.restart()],
  ])('gets every state once and stops after the end when %s', async (_what, interrupt) => {
    const { id, next } = await stepwise()
    const source = readEvents(eventsOf(id), NAMES)
    await expect.poll(() => fractionsOf(source.events)).toContain(0.25)
    await interrupt()
    next()
    await expect.poll(() => fractionsOf(source.events), { timeout: 20_000 }).toContain(0.5)
    next()
    await expect.poll(() => fractionsOf(source.events)).toContain(0.75)
    await interrupt()
    next()
    await source.stopped()
    expect(new Set(source.events.map((event) => event.id)).size).toBe(source.events.length)
    expect(fractionsOf(source.events)).toEqual([...new Set(fractionsOf(source.events))].sort((a, b) => a - b))
    expect(source.events.filter(({ name }) => name === 'completed')).toHaveLength(1)
    expect(source.events.at(-1)?.name).toBe('completed')
    expect(source.connections()).toBeGreaterThan(2)
  })

  it('is told the end that it missed, and then that there is no more', async () => {
    harness.succeeding('cloud')
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    await harness.ended(id)
    const after = (had: string) => connectAfter(eventsOf(id), had)
    for (const had of ['progress.0123456789abcdef', '7', 'failed.0123456789abcdef', 'x'.repeat(5000)]) {
      const answer = await after(had)
      expect([answer.status, answer.body.toString()]).toEqual([
        200,
        expect.stringContaining('event: completed'),
      ])
    }
    const end = /^id: (.*)$/m.exec((await after('7')).body.toString())?.[1] ?? ''
    expect(await after(end)).toMatchObject({ status: 204, body: Buffer.alloc(0) })
    await harness.restart()
    expect((await after(end)).status).toBe(204)
  })

  it('is told by HEAD that there is a stream', async () => {
    harness.endless('cloud')
    const { id } = await harness.client.startBenchmark({ model: 'chain', resources: ['cloud'] })
    const answer = await call('HEAD', eventsOf(id))
    expect(answer).toMatchObject({
      status: 200,
      headers: { 'content-type': expect.stringMatching(/^text\/event-stream/), 'cache-control': 'no-store' },
      body: Buffer.alloc(0),
    })
    expect(harness.followers).toBe(0)
    await harness.client.cancelBenchmark(id)
    expect((await call('HEAD', `${harness.url}/v1/benchmarks/nobody/events`)).status).toBe(404)
  })
})
