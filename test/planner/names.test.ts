/** Names that a model and a deployment want at the same time: both are served under /v2/models. */
import { setTimeout as sleep } from 'node:timers/promises'
import { describe, expect, it } from 'vitest'
import { ModelId } from '../../shared/contracts/common.ts'
import { NAMES_LOCK, withLock } from '../../shared/platform/redis/lock.ts'
import { exampleModel } from '../support/fixtures.ts'
import { type Answer, errorOf, plansOf, usePlanner } from './harness.ts'

describe('a deployment', () => {
  const { used, ask } = usePlanner()

  it('does not get a name that a model gets in that moment', async () => {
    const [plan] = plansOf(await ask('/v1/plans?model=chain'))
    const id = ModelId.parse('b'.repeat(64))
    let deploying: Promise<Answer> | undefined
    await withLock(used.state.redis, NAMES_LOCK, async () => {
      deploying = ask('/v1/deployments', { plan: plan?.id, name: 'net' })
      await Promise.race([deploying, sleep(200)])
      await used.state.models.put(id, exampleModel({ id, name: 'net' }))
    })
    const answer = await deploying
    expect(answer && errorOf(answer)).toMatchObject({ code: 'conflict' })
    expect(await used.state.deployments.get('net')).toBeUndefined()
  })
})
