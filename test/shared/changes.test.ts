/** Change announcements over a Redis that comes and goes. */
import { Changes, CHANGES_CHANNEL } from '../../shared/platform/redis/changes.ts'
import net from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { startLinkEmulator, type LinkEmulator } from '../../infra/testbed/link-emulator/emulator.ts'
import { producerConnection } from '../../shared/platform/redis/connections.ts'
import { eventually } from '../support/eventually.ts'
import { startTestRedis, type TestRedis, throughPort } from '../support/redis.ts'

const RTT_MS = 40

let redis: TestRedis
let line: LinkEmulator
beforeAll(async () => {
  redis = await startTestRedis()
  const target = { host: '127.0.0.1', port: Number(new URL(redis.url).port) }
  line = await startLinkEmulator([{ name: 'redis', target, rttMs: RTT_MS, upMbps: null, downMbps: null }])
})
afterAll(async () => {
  await line?.close()
  await redis?.close()
})

describe('followers of changes', () => {
  it('hear of them again after an outage, each once', async () => {
    const connection = producerConnection(throughPort(redis.url, line.ports['redis']))
    const changes = new Changes(connection)
    const seen: string[] = []
    let resyncs = 0
    changes.on('error', () => undefined)
    changes.on('resync', () => (resyncs += 1))
    changes.on('change', ({ id }) => seen.push(id))
    const announce = (id: string) =>
      connection.publish(CHANGES_CHANNEL, JSON.stringify({ kind: 'models', id }))
    await eventually(() => expect(resyncs).toBe(1))
    await announce('before')
    await line.cut('redis', 'reset')
    await line.restore('redis')
    await eventually(() => expect(resyncs).toBe(2))
    await eventually(() => announce('after'))
    await eventually(() => expect(seen).toEqual(['before', 'after']))
    changes.close()
    connection.disconnect()
  })

  it('hear of them although Redis refused to subscribe them at first', async () => {
    let refusals = 2
    const door = net.createServer((socket) => {
      const onward = net.connect(Number(new URL(redis.url).port), '127.0.0.1')
      for (const end of [socket, onward]) end.on('error', () => undefined)
      onward.pipe(socket)
      socket.on('data', (data) => {
        if (/\bsubscribe\b/i.test(data.toString('latin1')) && refusals > 0) {
          refusals -= 1
          socket.write('-BUSY Redis is busy running a script\r\n')
        } else onward.write(data)
      })
      socket.on('close', () => onward.destroy())
    })
    await new Promise<void>((open) => door.listen(0, '127.0.0.1', open))
    const { port } = door.address() as net.AddressInfo
    const connection = producerConnection(throughPort(redis.url, port))
    const changes = new Changes(connection)
    const faults: string[] = []
    const seen: string[] = []
    changes.on('error', ({ message }) => faults.push(message))
    changes.on('change', ({ id }) => seen.push(id))
    await eventually(() => expect(faults.length).toBe(2))
    const message = JSON.stringify({ kind: 'models', id: 'heard' })
    await eventually(async () => {
      await connection.publish(CHANGES_CHANNEL, message)
      expect(seen).toContain('heard')
    })
    expect(faults).toEqual(Array(2).fill('BUSY Redis is busy running a script'))
    changes.close()
    connection.disconnect()
    door.close()
  })

  it('may go at any moment while the subscription is made anew', async () => {
    const connection = producerConnection(throughPort(redis.url, line.ports['redis']))
    connection.on('error', () => undefined)
    let resyncs = 0
    const followers = Array.from({ length: 20 }, () => new Changes(connection))
    for (const follower of followers) {
      follower.on('error', () => undefined)
      follower.on('resync', () => (resyncs += 1))
    }
    await eventually(() => expect(resyncs).toBe(followers.length))
    await line.cut('redis', 'reset')
    await line.restore('redis')
    // A connection and its handshake take about five round trips: whatever they wait for, some go just then. A rejection
    // that nobody takes fails the run.
    for (const follower of followers) {
      await sleep(RTT_MS / 2)
      follower.close()
    }
    connection.disconnect()
    await sleep(5 * RTT_MS)
  })
})
