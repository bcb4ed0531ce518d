import { setImmediate } from 'node:timers/promises'
import { beforeEach, describe, expect, it, vi } from 'vitest'
import { ServedTimes, stageMs } from '../../../services/inference/jobs/served-times.ts'
import { createLog } from '../../../shared/platform/log.ts'
import { exampleProfile } from '../../support/fixtures.ts'
import { withTestRedis } from '../../support/redis.ts'
import { until } from '../../support/eventually.ts'

const log = createLog('test', 'silent')
const profile = exampleProfile('edge', [1, 2, 3, 4], {
  enterMs: [0, 0.5, 0, 0, 0],
  exitMs: [0, 0, 0, 0.25, 0],
})
const key = { model: profile.model, shapesKey: profile.shapesKey, from: 1, to: 3 }
const PREDICTED_MS = 0.5 + 2 + 3 + 0.25

const redis = withTestRedis()
beforeEach(async () => {
  await redis().state.redis.flushall()
  await redis().state.profiles.put(profile.id, profile)
})

const served = (threads = 1, isOwner = () => true) =>
  new ServedTimes({
    resource: 'edge',
    options: { threads, optimisation: 'all' },
    state: redis().state,
    isOwner,
    log,
  })

/** The first run only causes the profile to be read. */
async function ready(times: ServedTimes): Promise<void> {
  times.ran(key, { computeMs: 1, cpuMs: 1 })
  await redis().state.redis.ping()
  // The answer was there before that of the ping; now what was made of it is there too.
  await setImmediate()
}

describe('the times of stages that really ran', () => {
  it('are held against what the profile predicts for the stage', () => {
    expect(stageMs(profile, 1, 3)).toBeCloseTo(PREDICTED_MS, 9)
    expect(stageMs(profile, 0, 4)).toBeCloseTo(10, 9)
    expect(stageMs(profile, 2, 2)).toBe(0)
  })

  it('leave their median ratio beside the profile, which stays as it was measured', async () => {
    const times = served()
    await ready(times)
    for (const factor of [1.2, 1.2, 1.3, 9, 1.1])
      times.ran(key, { cpuMs: factor * PREDICTED_MS, computeMs: 100 })
    await until(async () => redis().state.served.has(profile.id))
    expect(await redis().state.served.need(profile.id)).toMatchObject({ samples: 5 })
    expect((await redis().state.served.need(profile.id)).scale).toBeCloseTo(1.2, 6)
    expect((await redis().state.served.need(profile.id)).spread).toBeCloseTo(0.1, 6)
    expect(await redis().state.profiles.need(profile.id)).toEqual(profile)
  })

  it('are not left beside the profile of another service that has the name', async () => {
    let isOwner = false
    const times = served(1, () => isOwner)
    await ready(times)
    const run = () => times.ran(key, { cpuMs: PREDICTED_MS, computeMs: 0 })
    for (let runs = 0; runs < 5; runs += 1) run()
    await redis().state.redis.ping()
    expect(await redis().state.served.has(profile.id)).toBe(false)
    isOwner = true
    run()
    await until(async () => redis().state.served.has(profile.id))
  })

  it('are told although the clock of the machine was set back', async () => {
    const times = served()
    await ready(times)
    const run = () => times.ran(key, { cpuMs: PREDICTED_MS, computeMs: 0 })
    for (let runs = 0; runs < 5; runs += 1) run()
    await until(async () => redis().state.served.has(profile.id))
    await redis().state.served.delete(profile.id)
    const later = performance.now() + 60_000
    vi.spyOn(Date, 'now').mockReturnValue(Date.now() - 3_600_000)
    vi.spyOn(performance, 'now').mockReturnValue(later)
    run()
    vi.restoreAllMocks()
    await until(async () => redis().state.served.has(profile.id))
  })

  it('start anew when the profile is measured anew', async () => {
    const times = served()
    await ready(times)
    for (let run = 0; run < 4; run += 1) times.ran(key, { cpuMs: 5 * PREDICTED_MS, computeMs: 0 })
    times.onChange({ kind: 'profiles', id: profile.id })
    await ready(times)
    for (let run = 0; run < 5; run += 1) times.ran(key, { cpuMs: PREDICTED_MS, computeMs: 0 })
    await until(async () => redis().state.served.has(profile.id))
    expect(await redis().state.served.need(profile.id)).toMatchObject({ samples: 5, scale: 1 })
  })

  it('of a model without a profile leave nothing', async () => {
    const times = served(4)
    await ready(times)
    for (let run = 0; run < 10; run += 1) times.ran(key, { cpuMs: 1, computeMs: 1 })
    await redis().state.redis.ping()
    expect(await redis().state.served.ids()).toEqual([])
  })
})
