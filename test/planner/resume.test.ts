/** A planner that starts before its Redis does still takes up the deployments that were left half-way. */
import net from 'node:net'
import { expect, it, vi } from 'vitest'
import { createPlannerService } from '../../services/planner/app.ts'
import { createLog } from '../../shared/platform/log.ts'
import { PLANNER_SETTINGS, readConfig } from '../../shared/platform/service/service-config.ts'
import { eventually } from '../support/eventually.ts'
import { exampleDeployment, hop, MODEL_ID } from '../support/fixtures.ts'
import { withTestRedis } from '../support/redis.ts'

const redis = withTestRedis()

it('takes up what was left loading when Redis comes up long after the planner, and warns once', async () => {
  const { state, url } = redis()
  const planId = `${MODEL_ID}.${'b'.repeat(12)}.gone.gone.0-2`
  const left = exampleDeployment('left', [hop('gone', 0, 2)], { planId, state: 'loading' })
  await state.deployments.put('left', left)
  const target = Number(new URL(url).port)
  const door = net.createServer((socket) => {
    const onward = net.connect(target, '127.0.0.1')
    for (const end of [socket, onward]) end.on('error', () => undefined)
    socket.pipe(onward).pipe(socket)
  })
  await new Promise<void>((open) => door.listen(0, '127.0.0.1', open))
  const { port } = door.address() as net.AddressInfo
  await new Promise((closed) => door.close(closed))
  const log = createLog('test', 'silent')
  const [warn, debug] = [vi.spyOn(log, 'warn'), vi.spyOn(log, 'debug')]
  const told = ({ mock }: typeof warn) => mock.calls.filter(([, text]) => /left loading/.test(String(text)))
  const planner = createPlannerService(
    readConfig(PLANNER_SETTINGS, { REDIS_URL: `redis://127.0.0.1:${port}` }),
    log,
  )
  try {
    // After the second attempt: each waits longer than for a connection that is only just being made.
    await eventually(() => expect(told(debug).length).toBeGreaterThan(0))
    expect(told(warn).length).toBe(1)
    expect((await state.deployments.get('left'))?.state).toBe('loading')
    await new Promise<void>((open) => door.listen(port, '127.0.0.1', open))
    // None of its machines is registered, so the end of its loading is a failure that says so.
    await eventually(async () =>
      expect(await state.deployments.get('left')).toMatchObject({
        state: 'failed',
        error: expect.stringMatching(/is not registered/) as string,
      }),
    )
  } finally {
    await planner.close()
    door.close()
  }
})
