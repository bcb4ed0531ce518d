/** Deployments that are prepared, prepared again and released at any moment of each other. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { Deployments } from '../../services/inference/forwarding/deployment-hops.ts'
import type { Deployment } from '../../shared/contracts/plan.ts'
import { createLog } from '../../shared/platform/log.ts'
import type { State } from '../../shared/platform/redis/state.ts'
import { until } from '../support/eventually.ts'
import { hop } from '../support/fixtures.ts'
import { withTestRedis } from '../support/redis.ts'
import { branchedModel, type ToyEngine, toyEngine } from './support/toy-models.ts'
import { deploymentOf } from './support/toy-services.ts'

const toy = branchedModel('a')
const log = createLog('test', 'silent')

const redis = withTestRedis()
let state: State
let engine: ToyEngine
let deployments: Deployments

beforeEach(async () => {
  state = redis().openState()
  await state.redis.flushall()
  engine = toyEngine([toy])
  deployments = new Deployments({
    resource: 'device',
    stageDeps: { loader: engine.loader, executor: engine.executor, log },
    state,
    // What counts is tested in forwarding/on-record.test.ts.
    onRecord: {
      find: (id) => state.deployments.get(id),
      confirmed: (told) => Promise.resolve(told),
      refuseMisfit: () => Promise.resolve(),
    },
    weightBytes: () => Promise.resolve(0),
    besideBytes: 0,
    warmCodecs: () => Promise.resolve(),
  })
})
afterEach(() => deployments.close())

function planOf(from: number, to: number, createdAt = new Date().toISOString()): Deployment {
  const changes = { planId: `plan-${from}-${to}`, fallback: 'none', state: 'loading', createdAt } as const
  return deploymentOf(toy, 'live', [hop('device', from, to)], changes)
}

/** The ranges that are loaded once every load and every release in progress has ended. */
async function settled(): Promise<string[]> {
  await sleep(20)
  return engine.loaded()
}

describe('a deployment', () => {
  it('that is prepared with two plans at once holds the later one, and nothing of the other', async () => {
    await deployments.prepare(planOf(0, 1))
    const go = engine.holdLoads()
    const first = deployments.prepare(planOf(0, 2))
    const second = deployments.prepare(planOf(0, 3))
    go()
    await Promise.allSettled([first, second])
    expect(deployments.held().map(({ planId }) => planId)).toEqual(['plan-0-3'])
    await deployments.release('live')
    // The plans that were replaced stay for the requests under way, and go with `close`.
    await deployments.close()
    expect(await settled()).toEqual([])
  })

  it('that is prepared with two plans at once at first is served by the later one', async () => {
    const go = engine.holdLoads()
    const both = [deployments.prepare(planOf(0, 2)), deployments.prepare(planOf(0, 3))]
    go()
    await Promise.allSettled(both)
    expect(deployments.held().map(({ planId }) => planId)).toEqual(['plan-0-3'])
    await deployments.close()
    expect(await settled()).toEqual([])
  })

  it('serves a request that waited for a plan which another one overtook', async () => {
    engine.holdLoads()
    const early = deployments.prepare(planOf(0, 2)).catch(() => undefined)
    await settled()
    const asked = deployments.live('live', undefined)
    // From now on loads go through; the one above hangs.
    engine.holdLoads()()
    await deployments.prepare(planOf(0, 3))
    expect((await asked).record.planId).toBe('plan-0-3')
    await early
  })

  it('that is released while another plan loads holds nothing, now or later', async () => {
    await deployments.prepare(planOf(0, 1))
    const go = engine.holdLoads()
    const other = deployments.prepare(planOf(0, 2))
    const outcome = expect(other).rejects.toMatchObject({
      code: 'conflict',
      message: 'live was released while it was being loaded',
    })
    await deployments.release('live')
    await outcome
    go()
    expect(deployments.held()).toEqual([])
    expect(await settled()).toEqual([])
  })

  it('whose load hangs is let go at once when it is released', async () => {
    engine.holdLoads()
    const hanging = deployments.prepare(planOf(0, 2))
    await Promise.all([deployments.release('live'), expect(hanging).rejects.toThrow()])
    expect(deployments.stateOf('live')).toBeUndefined()
  })

  it('goes on with what it has when a later plan cannot be loaded', async () => {
    await deployments.prepare(planOf(0, 1))
    engine.failLoads.set(toy.model.id, 'no such operator')
    await expect(deployments.prepare(planOf(0, 2))).rejects.toThrow('no such operator')
    expect(deployments.held().map(({ planId }) => planId)).toEqual(['plan-0-1'])
  })

  it('keeps every plan that was replaced for its requests, also one that came back in between', async () => {
    for (const to of [1, 2, 1, 2, 3]) await deployments.prepare(planOf(0, to))
    expect((await deployments.live('live', 'plan-0-1')).record.planId).toBe('plan-0-1')
    expect((await deployments.live('live', 'plan-0-2')).record.planId).toBe('plan-0-2')
    await deployments.close()
    expect(await settled()).toEqual([])
  })

  it('is loaded once for requests of a plan that is being prepared', async () => {
    await deployments.prepare(planOf(0, 1))
    await state.deployments.put('live', planOf(0, 2))
    const go = engine.holdLoads()
    const preparing = deployments.prepare(planOf(0, 2))
    const asked = [deployments.live('live', 'plan-0-2'), deployments.live('live', 'plan-0-2')]
    go()
    await Promise.all([preparing, ...asked])
    await deployments.close()
    expect(await settled()).toEqual([])
  })

  it('that was deleted while a request looked it up is not loaded for that request', async () => {
    await state.deployments.put('live', planOf(0, 1))
    const get = state.deployments.get.bind(state.deployments)
    let deleted = false
    state.deployments.get = async (id) => {
      const found = await get(id)
      if (deleted) return found
      deleted = true
      await state.deployments.delete(id)
      deployments.onChange({ kind: 'deployments', id })
      return found
    }
    await expect(deployments.live('live', undefined)).rejects.toMatchObject({ code: 'notFound' })
    expect(await settled()).toEqual([])
  })

  it('that is deployed anew while its deletion is looked into stays', async () => {
    await deployments.prepare(planOf(0, 1))
    const get = state.deployments.get.bind(state.deployments)
    state.deployments.get = async (id) => {
      const found = await get(id)
      await deployments.prepare(planOf(0, 2))
      return found
    }
    deployments.onChange({ kind: 'deployments', id: 'live' })
    await until(async () => deployments.held()[0]?.planId === 'plan-0-2')
    await settled()
    expect(deployments.held().map(({ planId }) => planId)).toEqual(['plan-0-2'])
  })

  it('is left alone by a release that means an earlier deployment of the same name', async () => {
    const [before, now] = ['2026-01-01T00:00:00.000Z', '2026-01-01T00:00:01.000Z']
    await deployments.prepare(planOf(0, 1, before))
    await deployments.prepare(planOf(0, 1, now))
    await deployments.release('live', before)
    expect(deployments.stateOf('live')).toBe('ready')
    await deployments.release('live', now)
    expect(deployments.stateOf('live')).toBeUndefined()
  })
})
