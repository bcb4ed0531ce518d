/** A deployment that is asked for again with the same plan: what its machines were told stays true. */
import { describe, expect, it } from 'vitest'
import { eventually } from '../../support/eventually.ts'
import { errorOf, plansOf, usePlanner } from '../harness.ts'

const { used, ask } = usePlanner()

/** Nobody listens at the machines of this planner: what is deployed fails soon. */
const failed = (id: string) =>
  eventually(async () => expect((await used.state.deployments.get(id))?.state).toBe('failed'))

describe('a deployment that runs', () => {
  it('is refused with other settings, which its machines would not follow, and taken with the same', async () => {
    const [plan] = plansOf(await ask('/v1/plans?model=chain&source=device&top=1&minStages=2'))
    const deploy = (more: object) => ask('/v1/deployments', { plan: plan!.id, name: 'again', ...more })
    expect((await deploy({ fallback: 'none' })).status).toBe(202)
    await failed('again')
    await used.state.deployments.update('again', (record) => record && { ...record, state: 'ready' })
    for (const other of [{}, { fallback: 'native' }, { fallback: 'none', answer: 'direct' }]) {
      const refused = await deploy(other)
      expect([refused.status, errorOf(refused).message]).toEqual([
        409,
        expect.stringMatching(/already runs this plan with another (fallback|answer): delete it/),
      ])
    }
    expect((await used.state.deployments.need('again')).fallback).toBe('none')
    expect((await deploy({ fallback: 'none', answer: 'chain' })).status).toBe(202)
    // One that failed is held by nobody.
    await failed('again')
    expect((await deploy({ fallback: 'native' })).status).toBe(202)
    await failed('again')
  })
})
