/** Repeated questions are answered from what was worked out before, as long as it still holds. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { AnswerCache } from '../../services/planner/queries/answer-plans.ts'
import { SolverThread } from '../../services/planner/queries/solver.ts'
import { ScissionError } from '../../shared/platform/errors.ts'
import { RedisClock } from '../../shared/platform/redis/redis-clock.ts'
import { linkId } from '../../shared/platform/redis/state.ts'
import { exampleLink, exampleProfile, exampleResource } from '../support/fixtures.ts'
import { errorOf, plansOf, usePlanner } from './harness.ts'
import { eventually } from '../support/eventually.ts'

afterEach(() => vi.restoreAllMocks())

/** Answers are their own size. */
function open(maxSize?: number) {
  const world = { stamp: 'one' }
  const kept = new AnswerCache<number>({
    stamp: () => world.stamp,
    sizeOf: (answer) => answer,
    ...(maxSize !== undefined && { maxSize }),
  })
  const made: string[] = []
  const ask = (key: string, answer = 1) =>
    kept.get(key, async () => {
      made.push(key)
      return await Promise.resolve(answer)
    })
  return { world, kept, made, ask }
}

describe('kept answers', () => {
  it('are made once, even for two that ask at one time', async () => {
    const { made, ask } = open()
    expect(await Promise.all([ask('a'), ask('a'), ask('b')])).toEqual([1, 1, 1])
    await ask('a')
    expect(made).toEqual(['a', 'b'])
  })

  it('are made for each of two clients that ask at one time, so that none waits for the turn of the other', async () => {
    const { kept } = open()
    const never = new Promise<number>(() => {})
    void kept.get('a', () => never, 'one')
    expect(await kept.get('a', async () => 1, 'other')).toBe(1)
    expect(await kept.get('a', () => never, 'third')).toBe(1)
  })

  it('no longer hold when the world has changed, and not when it changes while they are made', async () => {
    const { world, kept, made, ask } = open()
    await ask('a')
    world.stamp = 'two'
    await ask('a')
    const slow = kept.get('b', async () => {
      world.stamp = 'three'
      return await Promise.resolve(1)
    })
    await slow
    world.stamp = 'two'
    await ask('b')
    expect(made).toEqual(['a', 'a', 'b'])
  })

  it('take no more than their share, those asked for last staying', async () => {
    const { kept, made, ask } = open(10)
    for (const key of ['a', 'b', 'a', 'c']) await ask(key, 4)
    expect(kept.size).toBe(8)
    for (const key of ['a', 'c', 'b']) await ask(key, 4)
    expect(made).toEqual(['a', 'b', 'c', 'b'])
    await ask('large', 11)
    await ask('large', 11)
    expect(made.slice(4)).toEqual(['large', 'large'])
    expect(kept.size).toBe(8)
    const long = 'x'.repeat(8000)
    await ask(long, 1)
    expect(kept.size).toBe(9)
  })

  it('include that there is no plan, but no failure that may pass', async () => {
    const { kept } = open()
    const tries = { infeasible: 0, overloaded: 0 }
    const ask = (code: 'infeasible' | 'overloaded') =>
      kept.get(code, async () => {
        tries[code] += 1
        await Promise.resolve()
        throw new ScissionError(code, 'no')
      })
    for (const code of ['infeasible', 'overloaded'] as const)
      for (let time = 0; time < 2; time += 1) await expect(ask(code)).rejects.toMatchObject({ code })
    expect(tries).toEqual({ infeasible: 1, overloaded: 2 })
  })
})

describe('GET /v1/plans', () => {
  const { used, ask } = usePlanner()
  const path = '/v1/plans?model=chain&firstLayersOnDevice=1'

  it('solves the same question once, and anew after a link, a profile or a resource changed', async () => {
    const solve = vi.spyOn(SolverThread.prototype, 'solve')
    const first = await ask(path)
    expect(await ask(path)).toEqual(first)
    expect(await ask('/v1/plans', { model: 'chain', firstLayersOnDevice: 1 })).toEqual(first)
    expect(solve).toHaveBeenCalledTimes(1)
    const { state } = used
    const changes = [
      () => state.links.put(linkId('device', 'cloud'), exampleLink('device', 'cloud', { rttMs: 3 })),
      () => {
        const slower = exampleProfile('cloud', [2, 2, 2, 2])
        return state.profiles.put(slower.id, slower)
      },
      async () =>
        await state.resources.put('cloud', { ...(await state.resources.need('cloud')), slowdown: 3 }),
    ]
    let before = plansOf(first)[0]?.predictedMs
    for (const change of changes) {
      await change()
      await eventually(async () => expect(plansOf(await ask(path))[0]?.predictedMs).not.toBe(before))
      before = plansOf(await ask(path))[0]?.predictedMs
    }
  })

  it('forgets an answer when a resource of it is lost, though nothing was written, and again when it is back', async () => {
    const names = async () =>
      plansOf(await ask(path)).flatMap(({ stages }) => stages.map(({ resource }) => resource))
    expect(await names()).toContain('cloud')
    const later = Date.now() + 7_200_000
    const alive = new Date(later).toISOString()
    for (const name of ['device', 'edge'])
      await used.state.resources.put(name, exampleResource(name, { heartbeatAt: alive }))
    await eventually(async () => {
      const { items } = (await ask('/v1/resources')).body as { items: { heartbeatAt: string }[] }
      expect(items.filter(({ heartbeatAt }) => heartbeatAt === alive)).toHaveLength(2)
    })
    const now = vi.spyOn(RedisClock.prototype, 'now').mockReturnValue(later)
    expect(await names()).not.toContain('cloud')
    expect((await ask(path)).body.leftOut).toMatchObject([{ resource: 'cloud' }])
    now.mockRestore()
    expect(await names()).toContain('cloud')
  })

  it('shows what serving says as it is now, beside plans worked out before', async () => {
    const { id } = exampleProfile('edge', [4, 4, 4, 4])
    expect((await ask(path)).body.served).toEqual([])
    const served = { id, scale: 1.1, spread: 0.1, samples: 20, updatedAt: new Date(0).toISOString() }
    await used.state.served.put(id, served)
    await eventually(async () =>
      expect((await ask(path)).body.served).toMatchObject([{ resource: 'edge', scale: 1.1 }]),
    )
  })

  it('takes weights of some objectives only, in a URL and as JSON', async () => {
    const weights = { latency: 1, energy: 0.5 }
    const query = 'objective=weighted&busyWatts=device:4,edge:9,cloud:50'
    const fromUrl = await ask(`/v1/plans?model=chain&${query}&weights=latency:1,energy:0.5`)
    expect(errorOf(fromUrl)).toBeUndefined()
    expect(fromUrl.status).toBe(200)
    const busyWatts = { device: 4, edge: 9, cloud: 50 }
    const asJson = await ask('/v1/plans', { model: 'chain', objective: 'weighted', busyWatts, weights })
    expect(asJson).toEqual(fromUrl)
    const values = (asJson.body.plans as { predictedMs: number; energyJ: number }[]).map(
      ({ predictedMs, energyJ }) => predictedMs + 0.5 * energyJ,
    )
    expect(values).toEqual([...values].sort((a, b) => a - b))
  })
})
