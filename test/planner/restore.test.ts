/** What a planner writes back to a Redis that has lost it. */
import type { KeyRecord } from '../../shared/contracts/key.ts'
import { afterEach, describe, expect, it } from 'vitest'
import { restoreFrom } from '../../services/planner/knowledge/restore.ts'
import type { Condition } from '../../shared/contracts/condition.ts'
import { linkId } from '../../shared/platform/redis/state.ts'
import { exampleLink, exampleResource } from '../support/fixtures.ts'
import { withTestRedis } from '../support/redis.ts'

const redis = withTestRedis()
afterEach(() => redis().state.redis.flushall())

const HEARTBEAT_MS = 1000
const nothing = () => ({
  links: new Map(),
  resources: new Map(),
  served: new Map(),
  paces: new Map(),
  conditions: new Map(),
  keys: new Map(),
})

describe('a planner writes back', () => {
  it('machines that are lost and that they are, not those that register again by themselves', async () => {
    const { state } = redis()
    const now = new Date(await state.clock.read()).toISOString()
    const lost = exampleResource('edge', { name: 'lost', heartbeatAt: '2026-01-01T00:00:00.000Z' })
    const alive = exampleResource('edge', { name: 'alive', heartbeatAt: now })
    const abroad = exampleResource('edge', { name: 'abroad', source: 'imported' })
    const condition = (id: string, by: string): Condition => ({
      id,
      kind: 'lost-machine',
      message: 'lost',
      by,
      since: now,
    })
    const mirror = {
      ...nothing(),
      resources: new Map([lost, alive, abroad].map((resource) => [resource.name, resource])),
      conditions: new Map([
        ['lost-machine/lost', condition('lost-machine/lost', 'planner')],
        ['open-breaker/alive/lost', condition('open-breaker/alive/lost', 'alive')],
      ]),
    }
    const { restored } = await restoreFrom(mirror, state, HEARTBEAT_MS)
    expect(restored).toMatchObject({ resources: 2, conditions: 1 })
    expect(await state.resources.ids()).toEqual(['abroad', 'lost'])
    expect(await state.conditions.ids()).toEqual(['lost-machine/lost'])
  })

  it('keys, also revoked ones, unless they were deleted since', async () => {
    const { state } = redis()
    const key = (id: string, more: Partial<KeyRecord> = {}): KeyRecord => ({
      id,
      kind: 'client',
      name: 'camera',
      hash: '0'.repeat(64),
      publicKey: 'x'.repeat(43),
      createdAt: '2026-01-01T00:00:00.000Z',
      createdBy: 'test',
      ...more,
    })
    const known = [key('a'), key('b', { revokedAt: '2026-01-02T00:00:00.000Z' }), key('c')]
    await state.keys.put('c', key('c'))
    await state.keys.delete('c')
    const keys = new Map(known.map((one) => [one.id, one]))
    expect((await restoreFrom({ ...nothing(), keys }, state, HEARTBEAT_MS)).restored.keys).toBe(2)
    expect(await state.keys.all()).toEqual(known.slice(0, 2))
  })

  it('the link that it was told last, also over an older one with which Redis came back', async () => {
    const { state } = redis()
    const override = (rttMs: number, measuredAt: string) =>
      exampleLink('device', 'edge', { source: 'override', rttMs, measuredAt })
    const id = linkId('device', 'edge')
    const links = new Map([[id, override(20, '2026-01-02T00:00:00.000Z')]])
    await state.links.put(id, override(10, '2026-01-01T00:00:00.000Z'))
    expect((await restoreFrom({ ...nothing(), links }, state, HEARTBEAT_MS)).restored.links).toBe(1)
    expect(await state.links.need(id)).toMatchObject({ rttMs: 20 })
    await state.links.put(id, override(30, '2026-01-03T00:00:00.000Z'))
    expect((await restoreFrom({ ...nothing(), links }, state, HEARTBEAT_MS)).restored.links).toBe(0)
    expect(await state.links.need(id)).toMatchObject({ rttMs: 30 })
  })
})
