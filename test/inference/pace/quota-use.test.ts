import { expect, it } from 'vitest'
import { QuotaUse } from '../../../services/inference/pace/quota-use.ts'

const QUOTA = { quotaMs: 50, periodMs: 100 }

/** A reading per second: so much CPU time and so many stops in each. */
function afterSeconds(seconds: number, cpuMs: number, stops: number, stopMs = 50): QuotaUse {
  const use = new QuotaUse()
  for (let at = 0; at <= seconds; at += 1)
    use.read({ atMs: 1000 * at, cpuMs: cpuMs * at, stops: stops * at, stoppedMs: stopMs * stops * at }, QUOTA)
  return use
}

it('tells how often work uses a quota up, over what always computing would', () => {
  expect(afterSeconds(10, 500, 10).seen(QUOTA)).toEqual({ share: 1, stopMs: 50 })
  expect(afterSeconds(10, 500, 5, 20).seen(QUOTA)).toEqual({ share: 0.5, stopMs: 20 })
  expect(afterSeconds(10, 200, 0).seen(QUOTA)).toEqual({ share: 0, stopMs: 0 })
  // Counted on every core of the group.
  expect(afterSeconds(10, 500, 10, 90).seen(QUOTA)?.stopMs).toBe(50)
})

it('is not known before some work was done: idling says nothing', () => {
  expect(new QuotaUse().seen(QUOTA)).toBeUndefined()
  expect(afterSeconds(100, 5, 0).seen(QUOTA)).toBeUndefined()
  expect(afterSeconds(1, 200, 2).seen(QUOTA)).toBeUndefined()
})

it('forgets after some minutes', () => {
  const use = afterSeconds(10, 500, 10)
  for (let at = 11; at <= 300; at += 1)
    use.read({ atMs: 1000 * at, cpuMs: 5000 + at, stops: 100, stoppedMs: 5000 }, QUOTA)
  expect(use.seen(QUOTA)).toBeUndefined()
})

it('leaves out what was used up by a profile', () => {
  const use = afterSeconds(10, 200, 0)
  use.read({ atMs: 11_000, cpuMs: 2500, stops: 10, stoppedMs: 500 }, QUOTA, false)
  use.read({ atMs: 12_000, cpuMs: 2700, stops: 10, stoppedMs: 500 }, QUOTA)
  expect(use.seen(QUOTA)).toEqual({ share: 0, stopMs: 0 })
})
