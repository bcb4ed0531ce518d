/** Machines that are lost and come back, as planners tell of them. */
import { EventEmitter } from 'node:events'
import { afterEach, describe, expect, it } from 'vitest'
import { LostMachines } from '../../../services/planner/conditions/lost-machines.ts'
import { informedBy } from '../../../services/planner/conditions/watch-conditions.ts'
import { type Condition, conditionId } from '../../../shared/contracts/condition.ts'
import type { Resource } from '../../../shared/contracts/resource.ts'
import type { State } from '../../../shared/platform/redis/state.ts'
import { until } from '../../support/eventually.ts'
import { readEvents } from '../../support/event-source.ts'
import { exampleResource } from '../../support/fixtures.ts'
import { recordedLog } from '../../support/recorded-log.ts'
import { withTestRedis } from '../../support/redis.ts'
import { startPlanner } from '../../support/services.ts'

const HEARTBEAT_MS = 1000

function watch() {
  const resources = new Map<string, Resource>()
  const conditions = new Map<string, Condition>()
  const clock = { now: Date.now(), informed: true }
  const calls: string[] = []
  const held = new Set<string>()
  const lost = new LostMachines({
    mirror: { resources, conditions },
    conditions: {
      begin: ({ kind, about }) => {
        const id = conditionId(kind, about)
        calls.push(`begin ${id}`)
        held.add(id)
        return id
      },
      end: (id) => {
        calls.push(`end ${id}`)
        held.delete(id)
        conditions.delete(id)
      },
      has: (id) => held.has(id),
    },
    heartbeatMs: HEARTBEAT_MS,
    now: () => clock.now,
    isInformed: async () => clock.informed,
  })
  const beat = (name: string, changes: Partial<Resource> = {}) =>
    resources.set(
      name,
      exampleResource('edge', { name, heartbeatAt: new Date(clock.now).toISOString(), ...changes }),
    )
  const put = (id: string, changes: Partial<Condition>) => {
    const since = new Date().toISOString()
    conditions.set(id, { id, kind: 'lost-machine', message: id, by: 'planner', since, ...changes })
  }
  const check = async () => {
    calls.length = 0
    await lost.check()
    return calls
  }
  return { clock, resources, beat, put, check }
}

describe('a planner', () => {
  it('notices a machine that is lost, and that it is back or has left', async () => {
    const { clock, resources, beat, put, check } = watch()
    beat('edge')
    beat('paper', { source: 'imported' })
    expect(await check()).toEqual([])
    clock.now += 4 * HEARTBEAT_MS
    expect(await check()).toEqual(['begin lost-machine/edge'])
    put('lost-machine/edge', { resource: 'edge' })
    expect(await check()).toEqual([])
    beat('edge')
    expect(await check()).toEqual(['end lost-machine/edge'])
    put('lost-machine/edge', { resource: 'edge' })
    resources.delete('edge')
    expect(await check()).toEqual(['end lost-machine/edge'])
  })

  it('says it again of a machine whose return another planner had noticed first', async () => {
    const { clock, beat, check } = watch()
    beat('edge')
    clock.now += 4 * HEARTBEAT_MS
    expect(await check()).toEqual(['begin lost-machine/edge'])
    // The other planner has ended it: nothing of it is on record.
    beat('edge')
    expect(await check()).toEqual(['end lost-machine/edge'])
    clock.now += 4 * HEARTBEAT_MS
    expect(await check()).toEqual(['begin lost-machine/edge'])
  })

  it('says nothing while it could not have read heartbeats', async () => {
    const { clock, beat, check } = watch()
    beat('edge')
    clock.now += 60_000
    clock.informed = false
    expect(await check()).toEqual([])
  })

  it('ends what a machine had noticed that is gone itself, and what is about one that left', async () => {
    const { beat, put, check } = watch()
    beat('device')
    put('open-breaker/device/edge', { kind: 'open-breaker', resource: 'edge', by: 'device' })
    put('open-breaker/gone/device', { kind: 'open-breaker', resource: 'device', by: 'gone' })
    put('stand-in/x/1/device', { kind: 'stand-in', resource: 'edge', deployment: 'x', by: 'device' })
    expect(await check()).toEqual(['end open-breaker/device/edge', 'end open-breaker/gone/device'])
  })
})

describe('heartbeats mean something', () => {
  function ask() {
    const redis = Object.assign(new EventEmitter(), { status: 'ready' })
    const clock = { ms: 0 }
    let answer = Promise.resolve()
    const state = { redis } as unknown as Pick<State, 'redis'>
    const isInformed = informedBy(
      state,
      () => answer,
      HEARTBEAT_MS,
      () => clock.ms,
    )
    /** Asks once in a heartbeat. */
    const beats = async (count: number) => {
      const answers: boolean[] = []
      for (let beat = 0; beat < count; beat += 1) {
        clock.ms += HEARTBEAT_MS
        answers.push(await isInformed())
      }
      return answers
    }
    return {
      redis,
      clock,
      beats,
      isInformed,
      answers: (by: Promise<void>) => {
        answer = by
      },
    }
  }

  it('once Redis has taken them for as long as a machine may be silent', async () => {
    const { redis, beats, answers } = ask()
    expect(await beats(5)).toEqual([false, false, false, true, true])
    redis.emit('ready')
    expect(await beats(4)).toEqual([false, false, false, true])
    const refused = Promise.reject<void>(new Error('READONLY'))
    refused.catch(() => undefined)
    answers(refused)
    expect(await beats(4)).toEqual([false, false, false, false])
    // Redis takes writes again: the machines have not written yet.
    answers(Promise.resolve())
    expect(await beats(5)).toEqual([false, false, false, false, true])
  })

  it('not after Redis was silent on a connection that stayed', async () => {
    const { beats, clock, isInformed, answers } = ask()
    await beats(5)
    let answer = () => {}
    answers(new Promise((resolve) => (answer = resolve)))
    const hanging = isInformed()
    clock.ms += 10 * HEARTBEAT_MS
    answer()
    expect(await hanging).toBe(false)
    expect(await beats(4)).toEqual([false, false, false, true])
  })
})

describe('two planners', () => {
  const redis = withTestRedis()
  const closing: (() => unknown)[] = []
  afterEach(async () => {
    for (const close of closing.splice(0)) await close()
  })

  it('tell of a lost machine once, and once of its return', async () => {
    const { state, url } = redis()
    const logs = [recordedLog(), recordedLog()]
    const planners = await Promise.all(
      logs.map(({ log }) => startPlanner(url, { SCISSION_HEARTBEAT_MS: '200' }, log)),
    )
    const beat = () =>
      state.resources.put('edge', exampleResource('edge', { heartbeatAt: new Date().toISOString() }))
    await beat()
    const timer = setInterval(() => void beat(), 100)
    const sources = planners.map((planner) =>
      readEvents(`${planner.url}/v1/conditions/events`, ['condition']),
    )
    closing.push(
      () => sources.forEach((source) => source.close()),
      ...planners.map((planner) => () => planner.close()),
    )
    const seen = (which: number) =>
      sources[which]?.events.map(({ data }) => {
        const { id, state } = data as { id: string; state: string }
        return `${id} ${state}`
      })
    // It beats for longer than planners wait before they judge.
    await new Promise((resolve) => setTimeout(resolve, 1500))
    expect(seen(0)).toEqual([])
    clearInterval(timer)
    await until(async () => [0, 1].every((which) => seen(which)?.length === 1))
    const list = await fetch(`${planners[0]?.url}/v1/conditions`)
    expect(await list.json()).toMatchObject({ items: [{ id: 'lost-machine/edge', by: 'planner' }] })
    const again = setInterval(() => void beat(), 100)
    await until(async () => [0, 1].every((which) => seen(which)?.length === 2))
    clearInterval(again)
    for (const which of [0, 1])
      expect(seen(which)).toEqual(['lost-machine/edge began', 'lost-machine/edge ended'])
    const said = logs.flatMap(({ lines }) => lines).filter((line) => line.includes('resource edge is lost'))
    expect(said).toHaveLength(2)
    expect(said.filter((line) => line.startsWith('no longer: '))).toHaveLength(1)
    let counted = 0
    for (const planner of planners) {
      const text = await (await fetch(`${planner.url}/metrics`)).text()
      counted += Number(/scission_conditions_total\{kind="lost-machine"\} (\d+)/.exec(text)?.[1])
    }
    expect(counted).toBe(1)
  })
})
