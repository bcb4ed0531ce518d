import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Slots } from '../../services/benchmark/slots.ts'

const jobs = fc.array(fc.record({ fails: fc.boolean() }), { maxLength: 12 })

describe('slots', () => {
  it('are never overbooked, and never lost to a failure', async () => {
    await fc.assert(
      fc.asyncProperty(jobs, fc.integer({ min: 1, max: 3 }), async (list, count) => {
        const slots = new Slots(count)
        let running = 0
        const done = list.map(({ fails }) =>
          slots.use(async () => {
            running += 1
            expect(running).toBeLessThanOrEqual(count)
            await Promise.resolve()
            running -= 1
            if (fails) throw new Error('failed')
          }),
        )
        const outcomes = await Promise.allSettled(done)
        expect(outcomes.map((outcome) => outcome.status === 'rejected')).toEqual(
          list.map(({ fails }) => fails),
        )
      }),
    )
  })
})
