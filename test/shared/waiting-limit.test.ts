import { expect, it } from 'vitest'
import { WaitingLimit } from '../../shared/platform/waiting-limit.ts'
import { gate } from '../support/gate.ts'

it('refuses whoever would wait beyond the limit, until one of those before is done, well or not', async () => {
  const limit = new WaitingLimit(2, 'a free seat')
  const seats = gate()
  const go = seats.close()
  const sitting = limit.within(() => seats.opened())
  const failing = limit.within(() => Promise.reject(new Error('fell')))
  await expect(limit.within(async () => 'seated')).rejects.toMatchObject({
    code: 'overloaded',
    message: '2 requests wait for a free seat already, which is the limit; retry in a moment',
    details: { waiting: 2, limit: 2 },
  })
  await expect(failing).rejects.toThrow('fell')
  expect(await limit.within(async () => 'seated')).toBe('seated')
  go()
  await sitting
})
