import { describe, expect, it } from 'vitest'
import { Breaker, Breakers } from '../../services/inference/forwarding/breaker.ts'
import { exampleResource } from '../support/fixtures.ts'

function breakerAt(now: { ms: number }): Breaker {
  return new Breaker(() => now.ms)
}
const failTimes = (breaker: Breaker, times: number) => {
  for (let i = 0; i < times; i += 1) breaker.failed('reset')
}

describe('a circuit breaker', () => {
  it('opens after three failures in a row, not after three in all', () => {
    const breaker = breakerAt({ ms: 0 })
    failTimes(breaker, 2)
    breaker.answered(5)
    failTimes(breaker, 2)
    expect(breaker.admit(true)).toBe('call')
    breaker.failed('reset')
    expect([breaker.state, breaker.admit(true), breaker.reason]).toEqual(['open', 'refuse', 'reset'])
  })

  it('asks for one probe at a time, then for one request, then closes', () => {
    const now = { ms: 0 }
    const breaker = breakerAt(now)
    failTimes(breaker, 3)
    now.ms = 500
    expect([breaker.admit(true), breaker.admit(true), breaker.state]).toEqual([
      'probe',
      'refuse',
      'half-open',
    ])
    breaker.answered(undefined)
    expect([breaker.admit(true), breaker.admit(true)]).toEqual(['call', 'refuse'])
    breaker.answered(5)
    expect([breaker.state, breaker.admit(true)]).toEqual(['closed', 'call'])
  })

  it('spends a request as the trial where there is no other way', () => {
    const now = { ms: 0 }
    const breaker = breakerAt(now)
    failTimes(breaker, 3)
    now.ms = 500
    expect([breaker.admit(false), breaker.admit(false)]).toEqual(['call', 'refuse'])
    breaker.failed('reset')
    expect([breaker.state, breaker.admit(false)]).toEqual(['open', 'refuse'])
  })

  it('does not stay half-open for ever when a trial is never heard of again', () => {
    const now = { ms: 0 }
    const breaker = breakerAt(now)
    failTimes(breaker, 3)
    now.ms = 500
    breaker.admit(false)
    now.ms = 1000
    expect(breaker.admit(false)).toBe('call')
  })

  it('waits as long as the limit for a peer it does not know, and by its slowest answer for one it does', () => {
    const breaker = breakerAt({ ms: 0 })
    expect(breaker.patienceMs(30_000)).toBe(30_000)
    for (const tookMs of [10, 60, 20, 10]) breaker.answered(tookMs)
    expect(breaker.patienceMs(30_000)).toBe(1200)
    expect(breaker.patienceMs(1000)).toBe(1000)
    expect([breaker.blamedFor(100, 30_000), breaker.blamedFor(180, 30_000)]).toEqual([false, true])
  })

  it('starts anew with a new start of the peer', () => {
    const breakers = new Breakers()
    const resource = exampleResource('edge')
    const peer = { resource, url: 'http://127.0.0.1:1', emulation: undefined }
    failTimes(breakers.of(peer), 3)
    expect([breakers.of(peer).state, breakers.open()]).toEqual(['open', ['edge']])
    const again = { ...peer, resource: { ...resource, startedAt: new Date(0).toISOString() } }
    expect([breakers.of(again).state, breakers.open()]).toEqual(['closed', []])
  })
})
