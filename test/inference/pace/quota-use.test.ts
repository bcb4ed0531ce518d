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
  expect(afterSeconds(10, 500, 10).seen(QUOTA, 12_000)).toEqual({ share: 1, stopMs: 50 })
  expect(afterSeconds(10, 500, 5, 20).seen(QUOTA, 12_000)).toEqual({ share: 0.5, stopMs: 20 })
  expect(afterSeconds(10, 200, 0).seen(QUOTA, 12_000)).toEqual({ share: 0, stopMs: 0 })
  // Counted on every core of the group.
  expect(afterSeconds(10, 500, 10, 90).seen(QUOTA, 12_000)?.stopMs).toBe(50)
})

it('is not known before some work was done: idling says nothing', () => {
  expect(new QuotaUse().seen(QUOTA, 12_000)).toBeUndefined()
  expect(afterSeconds(100, 5, 0).seen(QUOTA, 12_000)).toBeUndefined()
  expect(afterSeconds(1, 200, 2).seen(QUOTA, 12_000)).toBeUndefined()
})

it('forgets after half a minute', () => {
  const use = afterSeconds(10, 500, 10)
  for (let at = 11; at <= 300; at += 1)
    use.read({ atMs: 1000 * at, cpuMs: 5000 + at, stops: 100, stoppedMs: 5000 }, QUOTA)
  expect(use.seen(QUOTA, 300_000)).toBeUndefined()
})

it('leaves out what was used up by a profile', () => {
  const use = afterSeconds(10, 200, 0)
  use.read({ atMs: 11_000, cpuMs: 2500, stops: 10, stoppedMs: 500 }, QUOTA, false)
  use.read({ atMs: 12_000, cpuMs: 2700, stops: 10, stoppedMs: 500 }, QUOTA)
  expect(use.seen(QUOTA, 12_000)).toEqual({ share: 0, stopMs: 0 })
})

const request = (atMs: number, cpuMs: number, stoodMs = 0, lateMs = 0) => ({
  atMs,
  cpuMs,
  wallMs: cpuMs + stoodMs,
  lateMs,
})

it('is told by the requests that were served, once there are enough: the group also counts what nobody waited for', () => {
  const use = afterSeconds(10, 500, 10)
  const serve = (from: number, count: number, stoodMs: number) => {
    for (let at = 0; at < count; at += 1) use.served(request(10_000 + 20 * (from + at), 10, stoodMs))
  }
  serve(0, 20, 0)
  expect(use.seen(QUOTA, 12_000)).toEqual({ share: 1, stopMs: 50 })
  serve(20, 20, 30)
  // 20 of 40 runs of a fifth of the quota were stopped; a millisecond more is no stop.
  serve(40, 40, 1)
  expect(use.seen(QUOTA, 18_000)).toEqual({ share: 1.25, stopMs: 30 })
  serve(80, 320, 0)
  expect(use.seen(QUOTA, 18_000)).toEqual({ share: (20 * 50) / (400 * 10), stopMs: 30 })
  expect(use.seen(QUOTA, 400_000)).toEqual({ share: 1, stopMs: 50 })
})

it('counts several stops in a run that stood as long as several take', () => {
  const use = afterSeconds(1, 10, 0)
  for (let at = 0; at < 10; at += 1) expect(use.served(request(1000 + at, 120, 100))).toBe(false)
  expect(use.seen(QUOTA, 2000)).toEqual({ share: (20 * 50) / 1200, stopMs: 50 })
})

it('counts a stop outside of the run: a stage that uses the quota up leaves none for its answer', () => {
  const use = afterSeconds(1, 10, 0)
  for (let at = 0; at < 10; at += 1)
    expect(use.served(request(1000 + at, 40, 0, at % 2 ? 45 : 1))).toBe(at % 2 === 1)
  expect(use.seen(QUOTA, 2000)).toEqual({ share: (5 * 50) / 400, stopMs: 45 })
})

it('of requests is not kept without a quota', () => {
  const use = new QuotaUse()
  expect(use.isKnown).toBe(false)
  for (let at = 0; at < 100; at += 1) expect(use.served(request(at, 10, 50))).toBe(false)
  expect(use.seen(QUOTA, 1000)).toBeUndefined()
})
