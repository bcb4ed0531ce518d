/** The planner's copy of what Redis holds: fresh without polling, there without Redis, small, and quiet about outages. */
import { EventEmitter } from 'node:events'
import { Redis } from 'ioredis'
import { afterEach, describe, expect, it, vi } from 'vitest'
import { startLinkEmulator } from '../../infra/testbed/link-emulator/emulator.ts'
import { RedisMirror } from '../../services/planner/knowledge/redis-mirror.ts'
import { KnownRevision } from '../../shared/client/known-revision.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { createLog, type Logger } from '../../shared/platform/log.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { Changes, CHANGES_CHANNEL } from '../../shared/platform/redis/changes.ts'
import { formatRevision } from '../../shared/platform/redis/revision.ts'
import { linkId, openState, structureId } from '../../shared/platform/redis/state.ts'
import { exampleLink, exampleProfile, exampleResource } from '../support/fixtures.ts'
import { startTestRedis, throughPort } from '../support/redis.ts'
import { startPlanner } from '../support/services.ts'
import { log, plansOf, putExample, usePlanner } from './harness.ts'
import { eventually } from '../support/eventually.ts'
import { JSON_TYPE } from '../support/json-type.ts'

const closing: (() => unknown)[] = []
afterEach(async () => {
  for (const close of closing.splice(0).reverse()) await close()
})

async function openMirror(logger: Logger = log) {
  const redis = await startTestRedis()
  await putExample(redis.state)
  const target = { host: '127.0.0.1', port: Number(new URL(redis.url).port) }
  const line = await startLinkEmulator([{ name: 'redis', target, rttMs: 0, upMbps: null, downMbps: null }])
  const connection = producerConnection(throughPort(redis.url, line.ports['redis']), log)
  const own = openState(connection)
  const mirror = new RedisMirror(own, logger)
  closing.push(
    redis.close,
    () => line.close(),
    () => connection.disconnect(),
    () => mirror.close(),
  )
  await mirror.ready()
  return { line, redis, state: redis.state, own, mirror }
}

describe('the mirror', () => {
  it('counts a revision for what plans depend on, and none for a heartbeat', async () => {
    const { state, mirror } = await openMirror()
    const before = mirror.revision
    const beat = new Date(Date.now() + 5000).toISOString()
    await state.resources.put('edge', { ...mirror.resources.get('edge')!, heartbeatAt: beat })
    await eventually(() => expect(mirror.resources.get('edge')?.heartbeatAt).toBe(beat))
    expect(mirror.revision).toBe(before)
    await state.links.put(linkId('device', 'edge'), exampleLink('device', 'edge', { rttMs: 7 }))
    await eventually(() => expect(mirror.links.get(linkId('device', 'edge'))?.rttMs).toBe(7))
    expect(mirror.revision).toBe(before + 1)
    await state.resources.put('edge', { ...mirror.resources.get('edge')!, slowdown: 2 })
    await eventually(() => expect(mirror.resources.get('edge')?.slowdown).toBe(2))
    expect(mirror.revision).toBe(before + 2)
  })

  it('keeps of a profile and a link only what planning reads', async () => {
    const { state, mirror } = await openMirror()
    const profile = exampleProfile('edge', [4, 4, 4, 4], {
      layers: [4, 4, 4, 4].map((ms) => ({ ms, lowMs: 3, highMs: 5 })),
      enterMs: [0, 1, 1, 1, 0],
    })
    await state.profiles.put(profile.id, profile)
    await eventually(() => expect(mirror.profiles.get(profile.id)?.enterMs).toEqual([0, 1, 1, 1, 0]))
    const kept = mirror.profiles.get(profile.id)
    expect(kept).toMatchObject({ layerMs: [4, 4, 4, 4] })
    for (const field of ['layers', 'whole', 'method', 'load']) expect(kept).not.toHaveProperty(field)
    expect(mirror.links.get(linkId('device', 'edge'))).not.toHaveProperty('samples')
  })

  it('reads a document announced many times at once only as often as needed', async () => {
    const { state, mirror } = await openMirror()
    const get = vi.spyOn(Redis.prototype, 'hmget')
    const puts = Array.from({ length: 100 }, (_, index) =>
      state.links.put(linkId('device', 'edge'), exampleLink('device', 'edge', { rttMs: index })),
    )
    await Promise.all(puts)
    // Documents are read one after another: once this one is here, no read of the other is left to do.
    await state.links.put(linkId('device', 'cloud'), exampleLink('device', 'cloud', { rttMs: 7 }))
    await eventually(() => expect(mirror.links.get(linkId('device', 'cloud'))?.rttMs).toBe(7))
    expect(mirror.links.get(linkId('device', 'edge'))?.rttMs).toBe(99)
    expect(get.mock.calls.length).toBeGreaterThan(0)
    expect(get.mock.calls.length).toBeLessThan(50)
    get.mockRestore()
  })

  it('says once that the announcements are interrupted and once that they are back', async () => {
    const logger = createLog('test', 'silent')
    const [warn, info] = [vi.spyOn(logger, 'warn'), vi.spyOn(logger, 'info')]
    const { line } = await openMirror(logger)
    const debug = vi.spyOn(logger, 'debug')
    await line.cut('redis', 'reset')
    // Several attempts to reconnect fail; each of them is an error of the connection.
    await eventually(() => expect(debug.mock.calls.length).toBeGreaterThanOrEqual(3))
    const interrupted = () => warn.mock.calls.filter(([, text]) => /interrupted/.test(String(text)))
    expect(interrupted()).toHaveLength(1)
    expect(info).not.toHaveBeenCalled()
    await line.restore('redis')
    await eventually(() => expect(info).toHaveBeenCalledTimes(1))
    expect(info).toHaveBeenCalledWith('the change announcements of Redis are back')
    expect(interrupted()).toHaveLength(1)
  })
})

describe('the revision of the mirror', () => {
  const id = linkId('device', 'edge')
  const link = (rttMs: number) => exampleLink('device', 'edge', { rttMs })

  /** Announcements come no more, until the function returned is called. */
  function holdAnnouncements(): () => void {
    const held: (() => void)[] = []
    const emit = Reflect.get(EventEmitter.prototype, 'emit') as Changes['emit']
    const spy = vi.spyOn(Changes.prototype, 'emit').mockImplementation(function (
      this: Changes,
      ...event: Parameters<Changes['emit']>
    ) {
      const go = () => Reflect.apply(emit, this, event)
      return event[0] === 'change' ? held.push(go) > 0 : go()
    })
    return () => {
      spy.mockRestore()
      for (const go of held) go()
    }
  }

  it('is not waited for by what this process has written itself', async () => {
    const { own, mirror } = await openMirror()
    const release = holdAnnouncements()
    for (const rttMs of [7, 8, 9]) {
      await own.links.put(id, link(rttMs))
      await mirror.settled()
      expect(mirror.links.get(id)?.rttMs).toBe(rttMs)
    }
    await own.links.delete(id)
    await mirror.settled()
    expect(mirror.links.has(id)).toBe(false)
    const before = mirror.revision
    release()
    await mirror.gate.reach('latest')
    // What the announcements tell was read already.
    expect(mirror.revision).toBe(before)
  })

  it('is reached once the writes of others are here, all of them', async () => {
    const { state, mirror } = await openMirror()
    const release = holdAnnouncements()
    await state.links.put(id, link(7))
    await state.profiles.put(exampleProfile('edge', [5, 5, 5, 5]).id, exampleProfile('edge', [5, 5, 5, 5]))
    let reached = false
    const latest = mirror.gate.reach('latest').then(() => (reached = true))
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(reached).toBe(false)
    release()
    await latest
    expect(mirror.links.get(id)?.rttMs).toBe(7)
    expect(mirror.profiles.get(exampleProfile('edge', [1]).id)?.layerMs).toEqual([5, 5, 5, 5])
  })

  it('is not reached by later announcements while a document could not be read', async () => {
    const logger = createLog('test', 'silent')
    const warn = vi.spyOn(logger, 'warn')
    const { redis, state, mirror } = await openMirror(logger)
    await redis.state.redis.rename('scission:links', 'kept')
    await redis.state.redis.set('scission:links', 'no hash')
    await redis.state.redis.publish(
      CHANGES_CHANNEL,
      JSON.stringify({
        kind: 'links',
        id,
        revision: formatRevision({ ...mirror.gate.revision!, number: 90 }),
      }),
    )
    await eventually(() => expect(warn).toHaveBeenCalled())
    await state.profiles.put('other', { ...exampleProfile('edge', [5, 5, 5, 5]), id: 'other' })
    await eventually(() => expect(mirror.profiles.has('other')).toBe(true))
    expect(mirror.gate.revision?.number).toBeLessThan(90)
    await redis.state.redis.rename('kept', 'scission:links')
    await mirror.gate.reach('latest')
  })

  it('begins anew with a Redis that was emptied, of which nothing is kept', async () => {
    const { state, mirror } = await openMirror()
    const { epoch } = mirror.gate.revision!
    await state.redis.flushall()
    await state.links.put(id, link(7))
    await mirror.gate.reach('latest')
    expect(mirror.gate.revision?.epoch).not.toBe(epoch)
    expect([...mirror.links.keys()]).toEqual([id])
    expect(mirror.profiles.size).toBe(0)
  })
})

describe('a read that fails while the connection stays', () => {
  it('does not end the reading of later announcements', async () => {
    const { state, own, mirror } = await openMirror()
    const look = vi.spyOn(own.memory, 'look').mockRejectedValueOnce(new Error('Redis was away'))
    const put = (rttMs: number) =>
      state.links.put(linkId('device', 'edge'), exampleLink('device', 'edge', { rttMs }))
    await put(7)
    await eventually(() => expect(look.mock.results[0]?.type).toBe('return'))
    // Everything is read again a moment later; what comes after that is announced only.
    await eventually(() => expect(mirror.links.get(linkId('device', 'edge'))?.rttMs).toBe(7))
    for (const rttMs of [8, 9]) {
      await put(rttMs)
      await mirror.gate.reach('latest')
      expect(mirror.links.get(linkId('device', 'edge'))?.rttMs).toBe(rttMs)
    }
  })

  /** Redis answers reads of the links with an error until the function returned is called. */
  async function breakLinks(redis: Redis): Promise<() => Promise<unknown>> {
    await redis.rename('scission:links', 'kept')
    await redis.set('scission:links', 'no hash')
    return () => redis.rename('kept', 'scission:links')
  }

  it('of everything, at the start, is tried again', async () => {
    const { redis } = await openMirror()
    const mend = await breakLinks(redis.state.redis)
    const connection = producerConnection(redis.url, log)
    const mirror = new RedisMirror(openState(connection), log)
    closing.push(
      () => connection.disconnect(),
      () => mirror.close(),
    )
    await eventually(() => expect(mirror.ready()).rejects.toThrow(/WRONGTYPE/))
    await mend()
    await eventually(() => mirror.ready())
    expect(mirror.links.size).toBe(3)
  })

  it('of one document that was announced is made up for, and warned of once', async () => {
    const logger = createLog('test', 'silent')
    const warn = vi.spyOn(logger, 'warn')
    const { redis, mirror } = await openMirror(logger)
    const mend = await breakLinks(redis.state.redis)
    const id = linkId('device', 'edge')
    await redis.state.redis.hset('kept', id, JSON.stringify(exampleLink('device', 'edge', { rttMs: 7 })))
    const announce = () => redis.state.redis.publish(CHANGES_CHANNEL, JSON.stringify({ kind: 'links', id }))
    await announce()
    await announce()
    const warned = () => warn.mock.calls.filter(([, text]) => text === 'could not read from Redis')
    await eventually(() => expect(warned().length).toBeGreaterThan(0))
    await mend()
    await eventually(() => expect(mirror.links.get(id)?.rttMs).toBe(7))
    expect(warned()).toHaveLength(1)
  })
})

describe('without Redis', () => {
  it('plans are answered from the copy, and what must be stored is refused', async () => {
    const redis = await startTestRedis()
    await putExample(redis.state)
    const planner = await startPlanner(redis.url)
    closing.push(planner.close)
    const ask = async () => await fetch(`${planner.url}/v1/plans?model=chain&top=1`)
    expect((await ask()).status).toBe(200)
    await redis.close()
    await eventually(async () => expect((await fetch(`${planner.url}/readyz`)).status).toBe(503))
    expect(await (await fetch(`${planner.url}/readyz`)).json()).toEqual({
      ready: false,
      reason: 'Redis cannot be reached; retry in a moment',
    })
    expect((await ask()).status).toBe(200)
    // One who asks for the latest is told that this may not be it.
    const outdated = vi.fn()
    const client = createPlannerClient(planner.url, new KnownRevision('latest', outdated))
    expect((await client.plans({ model: 'chain' })).plans.length).toBeGreaterThan(0)
    expect((await client.resources()).length).toBeGreaterThan(0)
    expect(outdated).toHaveBeenCalledTimes(2)
    await expect(client.setLink('device', 'cloud', { rttMs: 1, bandwidthMbps: 1 })).rejects.toMatchObject({
      code: 'queueUnavailable',
    })
    expect(outdated).toHaveBeenCalledTimes(2)
    const refused = await fetch(`${planner.url}/v1/links/device/cloud`, {
      method: 'PUT',
      headers: JSON_TYPE,
      body: '{"rttMs":1,"bandwidthMbps":1}',
    })
    expect(refused.status).toBe(503)
  })
})

describe('a structure', () => {
  it.each(['reset', 'silent'] as const)(
    'that was read before everything was read again is there when Redis is away (%s)',
    async (kind) => {
      const { line, state, mirror } = await openMirror()
      const model = [...mirror.models.values()][0]!
      const read = () => mirror.structure(model.id, model.shapesKey ?? '')
      const structure = await read()
      await line.cut('redis', 'reset')
      await state.links.put(linkId('device', 'edge'), exampleLink('device', 'edge', { rttMs: 77 }))
      await line.restore('redis')
      await eventually(() => expect(mirror.links.get(linkId('device', 'edge'))?.rttMs).toBe(77))
      await line.cut('redis', kind)
      expect(await read()).toEqual(structure)
      await line.restore('redis')
      await state.structures.delete(structureId(model.id, model.shapesKey ?? ''))
      await eventually(() => expect(read()).rejects.toMatchObject({ code: 'notFound' }))
    },
  )
})

describe('a plan query', () => {
  const { used, ask } = usePlanner()

  it('reads nothing from Redis', async () => {
    const query = '/v1/plans?model=chain&top=1'
    await ask(query)
    const sent = vi.spyOn(Redis.prototype, 'sendCommand')
    for (const more of [
      '',
      '&maxStages=1',
      '&network=3g',
      '&slowdowns=edge:2',
      '&view=graph',
      '&mustUseTiers=edge',
    ])
      expect((await ask(query + more)).status).toBe(200)
    // The deployer reads the deployments at its start and those under way now and then, as Redis is looked at; no query does that.
    const aboutRedis = ['time', 'info', 'eval']
    const keys = sent.mock.calls.flatMap(([{ name, args }]) =>
      aboutRedis.includes(name) ? [] : String(args[0]),
    )
    const others = ['deployments', 'loads-under-way', 'memory', 'probe', 'revision']
    expect(keys.filter((key) => !others.includes(key.replace('scission:', '')))).toEqual([])
    sent.mockRestore()
  })

  it('sees a changed profile, link, model name and resource as they are announced', async () => {
    const first = async () => plansOf(await ask('/v1/plans?model=chain&top=1'))[0]
    expect((await first())?.stages[0]?.resource).toBe('cloud')
    const slow = exampleProfile('cloud', [100, 100, 100, 100])
    await used.state.profiles.put(slow.id, slow)
    await eventually(async () => expect((await first())?.stages[0]?.resource).toBe('edge'))
    await used.state.links.put(linkId('device', 'edge'), exampleLink('device', 'edge', { rttMs: 500 }))
    await eventually(async () => expect((await first())?.stages[0]?.resource).toBe('device'))
    await used.state.resources.put('device', exampleResource('device', { slowdown: 100, emulated: true }))
    await eventually(async () => expect((await first())?.stages[0]?.resource).not.toBe('device'))
    const model = (await used.state.models.all())[0]!
    await used.state.models.put(model.id, { ...model, aliases: [{ name: 'also', version: 1 }] })
    await eventually(async () => expect((await ask('/v1/plans?model=also&top=1')).status).toBe(200))
  })
})
