import { getEventListeners } from 'node:events'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import { waitAtMost, waitWithin, watchPatience } from '../../shared/platform/deadline.ts'

const never = () => new Promise<never>(() => {})
const listeners = (signal: AbortSignal) => getEventListeners(signal, 'abort').length
const why = (reason: string) => new Error(reason)

function watchGiven(deadline: number): { up: () => boolean } {
  let up = false
  watchPatience({ deadline }, () => (up = true))
  return { up: () => up }
}

beforeEach(() => void vi.useFakeTimers())
afterEach(() => void vi.useRealTimers())

describe('waiting within limits', () => {
  it('gives the result, and leaves neither timer nor listener', async () => {
    const { signal } = new AbortController()
    const waited = waitWithin(Promise.resolve(7), { signal, deadline: performance.now() + 1000 }, why)
    expect([vi.getTimerCount(), listeners(signal)]).toEqual([1, 1])
    expect(await waited).toBe(7)
    expect([vi.getTimerCount(), listeners(signal)]).toEqual([0, 0])
  })

  it('is neither ended nor prolonged by a calendar that is set', async () => {
    for (const hours of [1, -1]) {
      const given = watchGiven(performance.now() + 1000)
      vi.setSystemTime(Date.now() + hours * 3_600_000)
      await vi.advanceTimersByTimeAsync(999)
      expect(given.up()).toBe(false)
      await vi.advanceTimersByTimeAsync(1)
      expect(given.up()).toBe(true)
      // A wait that begins after the calendar was set.
      const later = watchGiven(performance.now() + 1000)
      await vi.advanceTimersByTimeAsync(1000)
      expect(later.up()).toBe(true)
    }
  })

  it("hands on the work's own error, and leaves neither timer nor listener", async () => {
    const { signal } = new AbortController()
    const work = Promise.reject(new Error('the work failed'))
    await expect(waitWithin(work, { signal, deadline: performance.now() + 1000 }, why)).rejects.toThrow(
      'the work failed',
    )
    expect([vi.getTimerCount(), listeners(signal)]).toEqual([0, 0])
  })

  it('gives up at the deadline', async () => {
    const { signal } = new AbortController()
    const waited = waitWithin(never(), { signal, deadline: performance.now() + 1000 }, why)
    const outcome = expect(waited).rejects.toThrow('late')
    await vi.advanceTimersByTimeAsync(999)
    expect(vi.getTimerCount()).toBe(1)
    await vi.advanceTimersByTimeAsync(1)
    await outcome
    expect(listeners(signal)).toBe(0)
  })

  it('gives up at once when the deadline has passed', async () => {
    const outcome = expect(waitWithin(never(), { deadline: performance.now() - 1 }, why)).rejects.toThrow(
      'late',
    )
    await vi.advanceTimersByTimeAsync(1)
    await outcome
  })

  it('gives up when the signal is aborted, also before', async () => {
    const leaving = new AbortController()
    const limits = { signal: leaving.signal, deadline: performance.now() + 1000 }
    const outcome = expect(waitWithin(never(), limits, why)).rejects.toThrow('aborted')
    leaving.abort()
    await outcome
    await expect(waitWithin(never(), limits, why)).rejects.toThrow('aborted')
    expect([vi.getTimerCount(), listeners(leaving.signal)]).toEqual([0, 0])
  })

  it('does not overflow the timer of a far deadline', async () => {
    const stop = watchPatience({ deadline: performance.now() + 1e12 }, () => expect.unreachable())
    await vi.advanceTimersByTimeAsync(60_000)
    stop()
    expect(vi.getTimerCount()).toBe(0)
  })

  it('handles the late rejection of work that nobody waits for', async () => {
    vi.useRealTimers()
    const unhandled: unknown[] = []
    const listen = (reason: unknown) => unhandled.push(reason)
    process.on('unhandledRejection', listen)
    const failing = () => sleep(20).then(() => Promise.reject(new Error('too late')))
    await expect(waitWithin(failing(), { deadline: performance.now() + 1 }, why)).rejects.toThrow('late')
    expect(await waitAtMost(failing(), 1, 'otherwise')).toBe('otherwise')
    await sleep(60)
    process.off('unhandledRejection', listen)
    expect(unhandled).toEqual([])
  })
})

describe('watching', () => {
  it('calls once, whatever comes second, and not after it was stopped', async () => {
    const calls: string[] = []
    const leaving = new AbortController()
    const limits = { signal: leaving.signal, deadline: performance.now() + 10 }
    watchPatience(limits, (reason) => calls.push(`first ${reason}`))
    const stop = watchPatience(limits, (reason) => calls.push(`second ${reason}`))
    stop()
    leaving.abort()
    await vi.advanceTimersByTimeAsync(20)
    expect(calls).toEqual(['first aborted'])
  })

  it('never calls before it has returned', async () => {
    const calls: string[] = []
    const stop = watchPatience({ signal: AbortSignal.abort() }, (reason) => calls.push(reason))
    expect(calls).toEqual([])
    await Promise.resolve()
    expect(calls).toEqual(['aborted'])
    stop()
  })
})

describe('waiting for a time', () => {
  it('gives what was made in time', async () => {
    expect(await waitAtMost(Promise.resolve(1), 1000, 'otherwise')).toBe(1)
    expect(vi.getTimerCount()).toBe(0)
  })

  it('gives the other value when the time is up', async () => {
    const waited = waitAtMost(never(), 1000, 'otherwise')
    await vi.advanceTimersByTimeAsync(1000)
    expect(await waited).toBe('otherwise')
    expect(vi.getTimerCount()).toBe(0)
  })

  it('hands on the error of the work', async () => {
    await expect(waitAtMost(Promise.reject(new Error('failed')), 1000, 0)).rejects.toThrow('failed')
    expect(vi.getTimerCount()).toBe(0)
  })
})
