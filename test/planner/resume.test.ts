/** A planner whose Redis comes late, or goes for a while, still brings its deployments to an end. */
import net from 'node:net'
import { expect, it, vi } from 'vitest'
import { createPlannerService } from '../../services/planner/app.ts'
import { createLog } from '../../shared/platform/log.ts'
import { PLANNER_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { eventually } from '../support/eventually.ts'
import { exampleDeployment, exampleResource, hop, MODEL_ID } from '../support/fixtures.ts'
import { withTestRedis, throughPort } from '../support/redis.ts'
import { stubServer } from '../support/stub-server.ts'

const redis = withTestRedis()

it('takes up what was left loading when Redis comes up long after the planner, and warns once', async () => {
  const { state, url } = redis()
  const planId = `${MODEL_ID}.${'b'.repeat(12)}.gone.gone.0-2`
  const left = exampleDeployment('left', [hop('gone', 0, 2)], { planId, state: 'loading' })
  await state.deployments.put('left', left)
  const door = await openDoor(url)
  await door.close()
  const log = createLog('test', 'silent')
  const [warn, debug] = [vi.spyOn(log, 'warn'), vi.spyOn(log, 'debug')]
  const told = ({ mock }: typeof warn) => mock.calls.filter(([, text]) => /left loading/.test(String(text)))
  const planner = createPlannerService(readConfig(PLANNER_SETTINGS, { REDIS_URL: door.url }), log)
  try {
    // After the second attempt: each waits longer than for a connection that is only just being made.
    await eventually(() => expect(told(debug).length).toBeGreaterThan(0))
    expect(told(warn).length).toBe(1)
    expect((await state.deployments.get('left'))?.state).toBe('loading')
    await door.open()
    // None of its machines is registered, so the end of its loading is a failure that says so.
    await eventually(async () =>
      expect(await state.deployments.get('left')).toMatchObject({
        state: 'failed',
        error: expect.stringMatching(/is not registered/) as string,
      }),
    )
  } finally {
    await planner.close()
    await door.close()
  }
})

it('records the end of a load during which Redis was lost, once Redis is back', async () => {
  const { state, url } = redis()
  const door = await openDoor(url)
  const log = createLog('test', 'silent')
  const warn = vi.spyOn(log, 'warn')
  const told = () => warn.mock.calls.filter(([, text]) => /cannot be recorded/.test(String(text)))
  const machine = await stubServer(async (_req, res) => {
    await door.close()
    res.writeHead(200, { 'Content-Type': 'application/json' }).end('{"ready":true}')
  })
  await state.resources.put('late', exampleResource('device', { name: 'late', url: machine.url }))
  await state.deployments.put(
    'late',
    exampleDeployment('late', [hop('late', 0, 4)], { state: 'loading', verify: false }),
  )
  const config = readConfig(PLANNER_SETTINGS, { REDIS_URL: door.url })
  const planner = createPlannerService(config, log)
  try {
    await eventually(() => expect(told().length).toBe(1))
    expect((await state.deployments.get('late'))?.state).toBe('loading')
    await door.open()
    await eventually(async () => expect((await state.deployments.get('late'))?.state).toBe('ready'))
    expect(told().length).toBe(1)
  } finally {
    await planner.close()
    await machine.close()
    await door.close()
  }
})

/** A way to Redis that can be shut, which cuts its connections, and opened again. */
async function openDoor(redisUrl: string) {
  const sockets = new Set<net.Socket>()
  const door = net.createServer((socket) => {
    const onward = net.connect(Number(new URL(redisUrl).port), '127.0.0.1')
    for (const end of [socket, onward]) {
      sockets.add(end)
      end.on('error', () => undefined)
      end.once('close', () => sockets.delete(end))
    }
    socket.pipe(onward).pipe(socket)
  })
  const openAt = (port: number) => new Promise<void>((open) => door.listen(port, '127.0.0.1', open))
  await openAt(0)
  const { port } = door.address() as net.AddressInfo
  return {
    url: throughPort(redisUrl, port),
    open: () => openAt(port),
    close: async () => {
      for (const socket of sockets) socket.destroy()
      if (door.listening) await new Promise((closed) => door.close(closed))
    },
  }
}
