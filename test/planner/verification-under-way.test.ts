/** What others see while a deployment is verified, and what ends a verification. */
import { describe, expect, it } from 'vitest'
import { eventually } from '../support/eventually.ts'
import { startPlanner } from '../support/services.ts'
import { line, SETTINGS, stagesOf, useVerification } from './verified-deployments.ts'

const good = line('1', 'good')
const { services, begin, ended, undeploy, nothingElseHeld, restartPlanner } = useVerification([good])

describe('while it is verified', () => {
  it('the record and its events say what is being done', async () => {
    const go = services.engineOf('cloud').hold()
    const id = await begin(good, stagesOf(good, [1]))
    await eventually(async () =>
      expect((await services.state.deployments.get(id))?.progress).toEqual({
        step: 'verifying: running the whole model on cloud',
        fraction: 0.1,
      }),
    )
    go()
    expect((await ended(id)).state).toBe('ready')
  })

  it('it can be deleted: no resource holds anything of it then', async () => {
    const go = services.engineOf('cloud').hold()
    const id = await begin(good, stagesOf(good, [1]))
    await eventually(() => expect(services.engineOf('cloud').loaded()).toContain('good:0-3'))
    expect((await undeploy(id)).status).toBe(204)
    go()
    await nothingElseHeld([], [], [])
    expect(await services.state.deployments.get(id)).toBeUndefined()
  })

  it('a planner that starts again takes it up', async () => {
    const go = services.engineOf('cloud').hold()
    const id = await begin(good, stagesOf(good, [1]))
    await eventually(() => expect(services.engineOf('cloud').loaded()).toContain('good:0-3'))
    await restartPlanner(async () => {
      expect((await services.state.deployments.get(id))?.state).toBe('loading')
      go()
    })
    expect(await ended(id)).toMatchObject({ state: 'ready', verification: { outcome: 'equal' } })
    await nothingElseHeld(['good:0-1'], ['good:1-3'], [])
  })

  it('two planners that both work on it come to one end', async () => {
    const go = services.engineOf('cloud').hold()
    const id = await begin(good, stagesOf(good, [1]))
    const other = await startPlanner(services.redisUrl)
    try {
      await eventually(() => expect(services.engineOf('cloud').runs.length).toBeGreaterThan(1))
      go()
      expect((await ended(id)).state).toBe('ready')
      await nothingElseHeld(['good:0-1'], ['good:1-3'], [])
      expect((await services.state.deployments.get(id))?.state).toBe('ready')
    } finally {
      await other.close()
    }
  })

  it('a resource that is lost makes it fail, though another could stand in for clients', async () => {
    const go = services.engineOf('cloud').hold()
    const id = await begin(good, stagesOf(good, [1]), { fallback: 'native' })
    await eventually(() => expect(services.engineOf('cloud').loaded()).toContain('good:0-3'))
    await services.stop('edge')
    go()
    const record = await ended(id)
    await services.start('edge', SETTINGS)
    expect(record.state).toBe('failed')
    expect(record.error).toMatch(/could not be verified: .*edge.*verify: false/)
    expect(record.verification).toBeUndefined()
  })
})
