import { describe, expect, it } from 'vitest'
import { AnswerTimes } from '../../../services/inference/forwarding/answer-times.ts'
import { PeerCalls } from '../../../services/inference/forwarding/peer-calls.ts'

const KB = 1024
const timesOf = (highMs: number, hopsBehind = 1) => new AnswerTimes({ highMs, bytes: KB }, hopsBehind)
const answer = (times: AnswerTimes, tookMs: number, count = 1, bytes = KB) => {
  for (let i = 0; i < count; i += 1) times.answered(bytes, tookMs)
}

describe('the patience of a route', () => {
  it('begins with a small multiple of what the plan expects', () => {
    expect(timesOf(2000).patienceMs(KB)).toBe(8000)
    // A first run may load a session: more than that of a plan of 5 ms.
    expect(timesOf(5).patienceMs(KB)).toBe(1400)
  })

  it('is longer where more hops follow, so that the one next to the lost machine gives up first', () => {
    const patience = (hopsBehind: number) => timesOf(5, hopsBehind).patienceMs(KB)
    expect([patience(1), patience(2), patience(3)]).toEqual([1400, 2800, 4200])
  })

  it('follows its own answers: slow ones are waited for, quick ones are not waited for long', () => {
    const slow = timesOf(10)
    answer(slow, 1600, 20)
    expect(slow.patienceMs(KB)).toBeGreaterThan(1600)
    expect(slow.patienceMs(KB)).toBeLessThan(4000)
    const quick = timesOf(60_000)
    answer(quick, 10, 5)
    expect(quick.patienceMs(KB)).toBe(700)
  })

  it('is not ruled by one slow answer', () => {
    const times = timesOf(100)
    answer(times, 20, 10)
    answer(times, 400)
    expect(times.patienceMs(KB)).toBeLessThan(1000)
  })

  it('covers times that vary', () => {
    const times = timesOf(10)
    for (let i = 0; i < 50; i += 1) answer(times, i % 2 === 0 ? 200 : 1200)
    expect(times.patienceMs(KB)).toBeGreaterThan(1200)
  })

  it('learns a hop that became slower, whatever it was before', () => {
    const times = timesOf(10)
    answer(times, 10, 100)
    const needsMs = 5000
    let given = 0
    while (times.patienceMs(KB) < needsMs) {
      times.gaveUp(KB, times.patienceMs(KB))
      given += 1
    }
    expect(given).toBe(3)
    answer(times, needsMs)
    expect(times.patienceMs(KB)).toBeGreaterThan(needsMs)
    // And one that is quick again.
    answer(times, 10, 100)
    expect(times.patienceMs(KB)).toBe(700)
  })

  it('doubles once for requests that are given up together', () => {
    const times = timesOf(10)
    answer(times, 10)
    const waitedMs = times.patienceMs(KB)
    for (let i = 0; i < 50; i += 1) times.gaveUp(KB, waitedMs)
    expect(times.patienceMs(KB)).toBe(2 * waitedMs)
  })

  it('is another for each size of input', () => {
    const times = timesOf(10)
    answer(times, 900, 20, 64 * KB)
    expect(times.patienceMs(64 * KB)).toBeLessThan(1400)
    // Twice the tensors may take four times as long.
    expect(times.patienceMs(128 * KB)).toBeGreaterThan(2 * times.patienceMs(64 * KB))
    // Less takes no longer.
    expect(times.patienceMs(8 * KB)).toBeLessThanOrEqual(times.patienceMs(64 * KB))
    answer(times, 5000, 20, 512 * KB)
    expect(times.patienceMs(256 * KB)).toBeLessThanOrEqual(times.patienceMs(512 * KB))
    // What the plan says is of its size.
    expect(timesOf(1000).patienceMs(4 * KB)).toBeGreaterThan(4 * timesOf(1000).patienceMs(KB))
  })

  it('blames a peer whose silence a client ended only if its answers were much quicker', () => {
    const times = timesOf(10)
    expect(times.blamedFor(KB, 500)).toBe(false)
    answer(times, 10, 50)
    expect([times.blamedFor(KB, 15), times.blamedFor(KB, 40)]).toEqual([false, true])
    answer(times, 400, 50)
    expect([times.blamedFor(KB, 600), times.blamedFor(KB, 1300)]).toEqual([false, true])
  })
})

describe('the calls of a peer', () => {
  it('show that it lives, and what a further one may have to wait for', () => {
    let now = 0
    const calls = new PeerCalls(() => now)
    expect([calls.answeredSince(0), calls.leftOf(100), calls.longestMs()]).toEqual([false, 0, 0])
    const ends = [calls.begin(1600), calls.begin(20), calls.begin(Infinity)]
    expect(calls.longestMs()).toBe(1600)
    now = 50
    calls.answered()
    now = 120
    expect([calls.answeredSince(20), calls.answeredSince(60), calls.leftOf(100)]).toEqual([true, false, 30])
    for (const end of ends) end()
    expect(calls.longestMs()).toBe(0)
  })
})
