/** Conditions: noticed by several processes, written and said once. */
import { afterEach, describe, expect, it, vi } from 'vitest'
import { startLinkEmulator } from '../../infra/testbed/link-emulator/emulator.ts'
import { createLog } from '../../shared/platform/log.ts'
import { Collection } from '../../shared/platform/redis/collection.ts'
import { Conditions } from '../../shared/platform/redis/conditions.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { openState } from '../../shared/platform/redis/state.ts'
import { until } from '../support/eventually.ts'
import { recordedLog } from '../support/recorded-log.ts'
import { withTestRedis } from '../support/redis.ts'

const redis = withTestRedis()
afterEach(() => redis().state.redis.flushall())

function open(by: string, state = redis().openState(), isOwner = () => true) {
  const { log, lines } = recordedLog()
  return { conditions: new Conditions({ state, by, log, isOwner }), lines, state }
}
const LOST = { kind: 'lost-machine', about: ['edge'], resource: 'edge', message: 'edge is lost' } as const
const ID = 'lost-machine/edge'
const onRecord = async () => (await redis().state.conditions.all()).map(({ id, by }) => [id, by])

describe('a condition', () => {
  it('that several notice is written, logged and counted by one', async () => {
    const all = [open('planner'), open('planner'), open('planner')]
    for (const { conditions } of all) for (let i = 0; i < 3; i += 1) conditions.begin(LOST)
    await until(async () => all.flatMap(({ lines }) => lines).length > 0)
    await Promise.all(all.map(({ state }) => state.redis.ping()))
    const began = () => all.reduce((sum, { conditions }) => sum + conditions.began('lost-machine'), 0)
    expect([began(), all.flatMap(({ lines }) => lines), await onRecord()]).toEqual([
      1,
      ['edge is lost'],
      [[ID, 'planner']],
    ])
    for (const { conditions } of all) conditions.end(ID, 'it is back')
    await until(async () => (await onRecord()).length === 0)
    await Promise.all(all.map(({ state }) => state.redis.ping()))
    // The one that ends it need not be the one that began it.
    const said = all.flatMap(({ lines }) => lines)
    expect(said.toSorted()).toEqual(['edge is lost', 'no longer: edge is lost (it is back)'])
    // It may begin again.
    all[2]?.conditions.begin(LOST)
    await until(async () => began() === 2)
  })

  it('is neither told nor ended under a name that another service has', async () => {
    let isOwner = false
    const { conditions, state } = open('device', redis().openState(), () => isOwner)
    const other = open('device')
    other.conditions.begin(LOST)
    conditions.begin({ ...LOST, about: ['cloud'] })
    await until(async () => (await onRecord()).length === 1)
    conditions.begin(LOST)
    conditions.end(ID, 'it answers here')
    await state.redis.ping()
    expect(await onRecord()).toEqual([[ID, 'device']])
    isOwner = true
    conditions.start()
    await until(async () => (await onRecord()).join() === 'lost-machine/cloud,device')
  })

  it('costs Redis nothing while it holds', async () => {
    const { conditions, state } = open('device')
    const add = vi.spyOn(Collection.prototype, 'add')
    for (let i = 0; i < 1000; i += 1) conditions.begin(LOST)
    await until(async () => (await onRecord()).length === 1)
    for (let i = 0; i < 1000; i += 1) conditions.begin(LOST)
    await state.redis.ping()
    expect(add).toHaveBeenCalledTimes(1)
    add.mockRestore()
  })

  it('that ends while it is being written ends in Redis too', async () => {
    const { conditions } = open('device')
    for (let i = 0; i < 50; i += 1) {
      conditions.begin(LOST)
      conditions.end(ID, 'over')
    }
    await conditions.close()
    expect(await onRecord()).toEqual([])
    const again = open('device').conditions
    for (let i = 0; i < 50; i += 1) {
      again.end(ID, 'over')
      again.begin(LOST)
    }
    await until(async () => (await onRecord()).length === 1)
  })

  it('of an earlier process of this name ends with the start, those of others stay', async () => {
    open('edge').conditions.begin({ ...LOST, about: ['of-edge'] })
    open('device').conditions.begin({ ...LOST, about: ['of-device'] })
    await until(async () => (await onRecord()).length === 2)
    open('device').conditions.start()
    await until(async () => (await onRecord()).length === 1)
    expect(await onRecord()).toEqual([['lost-machine/of-edge', 'edge']])
  })

  it('is written back to a Redis that lost it on a connection that stayed', async () => {
    let isOwner = true
    const { conditions, lines } = open('device', redis().openState(), () => isOwner)
    conditions.begin(LOST)
    conditions.begin({ ...LOST, about: ['cloud'] })
    await until(async () => (await onRecord()).length === 2)
    conditions.end(ID, 'it is back')
    await until(async () => (await onRecord()).length === 1)
    await redis().state.redis.flushall()
    expect(await conditions.restore()).toBe(1)
    expect(await conditions.restore()).toBe(0)
    expect(await onRecord()).toEqual([['lost-machine/cloud', 'device']])
    expect([lines.length, conditions.began('lost-machine')]).toEqual([3, 2])
    await redis().state.redis.flushall()
    isOwner = false
    expect(await conditions.restore()).toBe(0)
  })

  it('of a process that stops ends', async () => {
    const { conditions } = open('device')
    conditions.begin(LOST)
    await until(async () => (await onRecord()).length === 1)
    await conditions.close()
    expect(await onRecord()).toEqual([])
  })

  it('is logged once while Redis is away, and written when it is back', async () => {
    const target = { host: '127.0.0.1', port: Number(new URL(redis().url).port) }
    const line = await startLinkEmulator([{ name: 'redis', target, rttMs: 0, upMbps: null, downMbps: null }])
    const url = new URL(redis().url)
    url.port = String(line.ports['redis'])
    const connection = producerConnection(url.href, createLog('test', 'silent'))
    await until(async () => connection.status === 'ready')
    const { conditions, lines } = open('device', openState(connection))
    await line.cut('redis', 'reset')
    await until(async () => connection.status !== 'ready')
    conditions.begin(LOST)
    await until(async () => lines.length > 0)
    await line.restore('redis')
    await until(async () => (await onRecord()).length === 1)
    expect(lines).toEqual(['edge is lost'])
    // It lost everything while it was away: what holds is there again, and is not said again.
    await line.cut('redis', 'reset')
    await until(async () => connection.status !== 'ready')
    await redis().state.redis.flushall()
    await line.restore('redis')
    await until(async () => (await onRecord()).length === 1)
    expect([lines, conditions.began('lost-machine')]).toEqual([['edge is lost'], 1])
    connection.disconnect()
    await line.close()
  })
})
