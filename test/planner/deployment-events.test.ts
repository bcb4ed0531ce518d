import http from 'node:http'
import { Redis } from 'ioredis'
import { describe, expect, it, vi } from 'vitest'
import type { Condition } from '../../shared/contracts/condition.ts'
import { Collection } from '../../shared/platform/redis/collection.ts'
import { connectAfter, readEvents } from '../support/event-source.ts'
import { exampleDeployment, hop } from '../support/fixtures.ts'
import { gate } from '../support/gate.ts'
import { startPlanner } from '../support/services.ts'
import { usePlanner } from './harness.ts'

const { used } = usePlanner()
const NAMES = ['loading', 'ready', 'failed', 'deleted']
const eventsOf = (id: string) => `${used.url}/v1/deployments/${id}/events`
const WAIT = { timeout: 20_000 }
/** Written again, a record is the same. */
const CREATED = new Date().toISOString()
const put = (id: string, changes: object = {}) =>
  used.state.deployments.put(
    id,
    exampleDeployment(id, [hop('device', 0, 4)], { createdAt: CREATED, ...changes }),
  )
const after = (id: string, had: string, method = 'GET') => connectAfter(eventsOf(id), had, method)

describe('the events of a deployment', () => {
  it('take no connection to Redis for a client that has left before they began', async () => {
    const deployment = exampleDeployment('live', [hop('device', 0, 4)])
    await used.state.deployments.put('live', deployment)
    const looking = gate()
    const release = looking.close()
    const need = vi.spyOn(Collection.prototype, 'need').mockImplementationOnce(async () => {
      await looking.opened()
      return deployment
    })
    const duplicate = vi.spyOn(Redis.prototype, 'duplicate')
    const leaving = http.get(`${used.url}/v1/deployments/live/events`).on('error', () => undefined)
    await expect.poll(looking.waiting).toBe(1)
    leaving.destroy()
    // The service learns of it before it goes on.
    await new Promise((resolve) => setTimeout(resolve, 200))
    release()
    await expect.poll(looking.waiting).toBe(0)
    await new Promise((resolve) => setTimeout(resolve, 200))
    expect(duplicate).not.toHaveBeenCalled()
    duplicate.mockRestore()
    need.mockRestore()
  })
})

describe('many clients', () => {
  it('share one connection to Redis, and its reads', async () => {
    await put('live', { state: 'loading' })
    const duplicate = vi.spyOn(Redis.prototype, 'duplicate')
    const get = vi.spyOn(Collection.prototype, 'get')
    const texts = Array.from({ length: 200 }, () => '')
    const requests = texts.map((_, which) =>
      http.get(eventsOf('live'), (res) => {
        if (res.statusCode !== 200) texts[which] = `${res.statusCode}: `
        res.on('data', (chunk) => (texts[which] += String(chunk)))
      }),
    )
    const without = (event: string) => texts.filter((text) => !text.includes(event))
    await expect.poll(() => without('event: loading'), WAIT).toEqual([])
    get.mockClear()
    await put('live', { state: 'ready' })
    await expect.poll(() => without('event: ready'), WAIT).toEqual([])
    expect(duplicate).not.toHaveBeenCalled()
    expect(get.mock.calls.length).toBeLessThan(20)
    for (const request of requests) request.destroy()
    duplicate.mockRestore()
    get.mockRestore()
  })
})

describe('conditions', () => {
  const condition = (id: string, changes: Partial<Condition>): Condition => ({
    id,
    kind: 'stand-in',
    message: `${id} is noticed`,
    by: 'device',
    since: CREATED,
    ...changes,
  })
  const write = (one: Condition) => used.state.conditions.put(one.id, one)

  it('of a deployment and its machines are told when they begin and end, and those that hold at once', async () => {
    await used.state.deployments.put(
      'live',
      exampleDeployment('live', [hop('device', 0, 2), hop('edge', 2, 4)], { createdAt: CREATED }),
    )
    await write(condition('a', { deployment: 'live', resource: 'edge' }))
    const source = readEvents(eventsOf('live'), [...NAMES, 'condition'])
    const seen = () =>
      source.events.map(({ name, data }) => {
        const { id, state } = data as { id: string; state: string }
        return name === 'condition' ? `${id} ${state}` : name
      })
    await expect.poll(seen, WAIT).toEqual(['ready', 'a began'])
    await write(condition('other-deployment', { deployment: 'other', resource: 'edge' }))
    await write(condition('other-machine', { kind: 'lost-machine', resource: 'cloud', by: 'planner' }))
    await write(condition('other-breaker', { kind: 'open-breaker', resource: 'edge', by: 'cloud' }))
    await write(condition('b', { kind: 'lost-machine', resource: 'edge', by: 'planner' }))
    await write(condition('c', { kind: 'open-breaker', resource: 'edge', by: 'device' }))
    await used.state.conditions.take('a')
    await expect.poll(seen, WAIT).toEqual(['ready', 'a began', 'b began', 'c began', 'a ended'])
    // They carry no id: a client that connects again says which state it has.
    expect(source.events.map(({ id }) => id)).toEqual(source.events.map(() => source.events[0]?.id))
    used.endStreams()
    await expect.poll(source.connections, { timeout: 20_000 }).toBe(2)
    await expect.poll(() => seen().slice(5), WAIT).toEqual(['b began', 'c began'])
    source.close()
  })
})

describe('EventSource', () => {
  it('gets every state once, over a lost connection, and stops after the deployment is deleted', async () => {
    await put('live', { state: 'loading' })
    const source = readEvents(eventsOf('live'), NAMES)
    const names = () => source.events.map(({ name }) => name)
    await expect.poll(names).toEqual(['loading'])
    await put('live', { state: 'loading' })
    await put('live', { state: 'ready' })
    await expect.poll(names).toEqual(['loading', 'ready'])
    used.endStreams()
    await expect.poll(source.connections, { timeout: 20_000 }).toBe(2)
    await put('live', { state: 'failed', error: 'for a reason' })
    await expect.poll(names).toEqual(['loading', 'ready', 'failed'])
    await used.state.deployments.delete('live')
    await source.stopped()
    expect(names()).toEqual(['loading', 'ready', 'failed', 'deleted'])
    expect(source.events.at(-1)?.data).toEqual({ id: 'live' })
  })

  it('is told of what it missed, also by another planner', async () => {
    await put('live', { state: 'ready' })
    const source = readEvents(eventsOf('live'), NAMES)
    await expect.poll(() => source.events.length).toBe(1)
    source.close()
    const had = source.events[0]?.id ?? ''
    const other = await startPlanner(used.redisUrl)
    await used.state.deployments.delete('live')
    const url = `${other.url}/v1/deployments/live/events`
    const missed = await connectAfter(url, had)
    expect([missed.status, missed.body.toString()]).toEqual([200, expect.stringContaining('event: deleted')])
    const end = /^id: (.*)$/m.exec(missed.body.toString())?.[1] ?? ''
    expect((await connectAfter(url, end)).status).toBe(204)
    await other.close()
    // What is made under the name later is another deployment; a new EventSource begins with it.
    await put('live', { state: 'ready' })
    expect((await after('live', end)).status).toBe(204)
    const again = readEvents(eventsOf('live'), NAMES)
    await expect.poll(() => again.events.map(({ name }) => name)).toEqual(['ready'])
    again.close()
  })

  it('that has had nothing of a deployment that is not there gets a 404', async () => {
    for (const had of ['', '3', 'ready', 'ready.0123']) expect((await after('nobody', had)).status).toBe(404)
  })

  it('is told by HEAD that there is a stream', async () => {
    await put('live')
    expect(await after('live', '', 'HEAD')).toMatchObject({
      status: 200,
      headers: { 'content-type': expect.stringMatching(/^text\/event-stream/) },
      body: Buffer.alloc(0),
    })
  })
})
