import { describe, expect, it } from 'vitest'
import { Breaker, Breakers } from '../../../services/inference/forwarding/breaker.ts'
import { exampleResource } from '../../support/fixtures.ts'

function breakerAt(now: { ms: number }): Breaker {
  return new Breaker({ now: () => now.ms })
}
const failTimes = (breaker: Breaker, times: number) => {
  for (let i = 0; i < times; i += 1) breaker.failed('reset')
}

describe('a circuit breaker', () => {
  it('opens after three failures in a row, not after three in all', () => {
    const breaker = breakerAt({ ms: 0 })
    failTimes(breaker, 2)
    breaker.answered()
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
    breaker.probed()
    expect([breaker.admit(true), breaker.admit(true)]).toEqual(['call', 'refuse'])
    breaker.answered()
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

  it('says once that it opened, however often it fails, and once that it closed', () => {
    const now = { ms: 0 }
    const turns: unknown[] = []
    const breaker = new Breaker({
      now: () => now.ms,
      onTurn: (open, reason) => turns.push([open, reason]),
    })
    failTimes(breaker, 2)
    expect(turns).toEqual([])
    failTimes(breaker, 5)
    now.ms = 500
    breaker.admit(true)
    failTimes(breaker, 1)
    breaker.probed()
    expect(turns).toEqual([[true, 'reset']])
    breaker.admit(true)
    breaker.answered()
    breaker.answered()
    expect(turns).toEqual([
      [true, 'reset'],
      [false, 'reset'],
    ])
  })

  it('sends requests the other way while a probe tells whether a silent peer is gone', () => {
    const now = { ms: 0 }
    const turns: boolean[] = []
    const breaker = new Breaker({ now: () => now.ms, onTurn: (open) => turns.push(open) })
    breaker.suspect('silent for 700 ms')
    expect([breaker.admit(true), breaker.state]).toEqual(['refuse', 'half-open'])
    // It was only slow.
    breaker.probed()
    expect(breaker.admit(true)).toBe('call')
    breaker.answered()
    expect([breaker.state, turns]).toEqual(['closed', []])
    // It is gone: not even the probe is answered.
    breaker.suspect('silent for 700 ms')
    now.ms = 500
    expect([breaker.admit(true), turns]).toEqual(['probe', [true]])
  })

  it('starts anew with a new start of the peer', () => {
    const turns: unknown[] = []
    const breakers = new Breakers((peer, open) => turns.push([peer, open]))
    const resource = exampleResource('edge')
    const peer = { resource, url: 'http://127.0.0.1:1', emulation: undefined }
    failTimes(breakers.of(peer).breaker, 3)
    expect([breakers.of(peer).breaker.state, breakers.open()]).toEqual(['open', ['edge']])
    const before = breakers.of(peer).breaker
    const again = { ...peer, resource: { ...resource, startedAt: new Date(0).toISOString() } }
    expect([breakers.of(again).breaker.state, breakers.open()]).toEqual(['closed', []])
    failTimes(before, 1)
    expect(turns).toEqual([
      ['edge', true],
      ['edge', false],
    ])
  })
})
