/** Records that an inference service and others write at the same time. */
import { beforeEach, describe, expect, it } from 'vitest'
import { workCalibration } from '../../services/inference/jobs/calibrations/calibration-worker.ts'
import { Links } from '../../services/inference/links/links.ts'
import { Peers } from '../../services/inference/registration/peers.ts'
import { Registration } from '../../services/inference/registration/registration.ts'
import { createLog } from '../../shared/platform/log.ts'
import { linkId, type State } from '../../shared/platform/redis/state.ts'
import { eventually } from '../support/eventually.ts'
import { exampleCalibration, exampleLink, exampleResource } from '../support/fixtures.ts'
import { afterNextRead } from '../support/interleave.ts'
import { withTestRedis } from '../support/redis.ts'

const log = createLog('test', 'silent')

const redis = withTestRedis()
/** The records as the service sees them, and as somebody else does. */
let state: State
let other: State

beforeEach(async () => {
  state = redis().openState()
  other = redis().state
  await other.redis.flushall()
})

describe('a link', () => {
  it('that is overridden while a measurement of it is being stored stays overridden', async () => {
    const override = exampleLink('device', 'cloud', { source: 'override', rttMs: 77 })
    const peers = new Peers(state, {}, 1000)
    const links = new Links({ resource: 'device', tierIndex: 0, state, peers, linkIntervalMs: 60_000, log })
    let overridden = false
    afterNextRead(state.redis, 'scission:links', async () => {
      await other.links.put(linkId('device', 'cloud'), override)
      overridden = true
    })
    const transfer = { bytes: 100_000, restBytes: 90_000, slope: 0.001, lateMs: 0 }
    const observation = { sent: transfer, received: transfer, totalMs: 300, wireMs: 290, workMs: 10 }
    const peer = { resource: exampleResource('cloud'), url: 'http://127.0.0.1:1', emulation: undefined }
    for (let message = 0; message < 10; message += 1) links.observe(peer, observation)
    await eventually(() => expect(overridden).toBe(true))
    // Everything that was sent before this is answered before it.
    await state.redis.ping()
    await new Promise((resolve) => setTimeout(resolve, 50))
    expect(await other.links.get(linkId('device', 'cloud'))).toMatchObject({ source: 'override', rttMs: 77 })
    links.close()
  })
})

const registrationOf = (name: string) =>
  new Registration({ state, resource: exampleResource(name, { instance: 'own' }), heartbeatMs: 60_000, log })

describe('a resource that leaves', () => {
  it('does not take its successor of the same name out of the registry', async () => {
    const registration = registrationOf('edge')
    void registration.start()
    await eventually(async () => expect(await other.resources.has('edge')).toBe(true))
    const successor = exampleResource('edge', { url: 'http://127.0.0.1:2' })
    await other.resources.put('edge', successor)
    await registration.leave()
    expect(await other.resources.get('edge')).toEqual(successor)
  })

  it('is gone from the registry otherwise', async () => {
    const registration = registrationOf('edge')
    void registration.start()
    await eventually(async () => expect(await other.resources.has('edge')).toBe(true))
    await registration.leave()
    expect(await other.resources.has('edge')).toBe(false)
  })
})

describe('a calibration', () => {
  const id = 'aaaaaaaaaaaa-bbbbbbbbbbbb'
  /** Fails at once: there is no structure to calibrate with. */
  const work = () =>
    workCalibration(
      {
        state,
        store: { open: () => Promise.reject(new Error('not reached')) },
        options: { threads: 1, optimisation: 'all' },
        benchmarkUrl: 'http://127.0.0.1:1',
        log,
      },
      { updateProgress: () => Promise.resolve() },
      id,
      { signal: new AbortController().signal, stopping: new AbortController().signal },
    )

  it('that was deleted in the moment in which its end is written stays deleted', async () => {
    await state.calibrations.put(id, exampleCalibration(id))
    const need = state.calibrations.need.bind(state.calibrations)
    state.calibrations.need = async (wanted) => {
      const found = await need(wanted)
      afterNextRead(state.redis, 'scission:calibrations', () => other.calibrations.delete(id))
      return found
    }
    await work()
    expect(await other.calibrations.get(id)).toBeUndefined()
  })

  it('that was cancelled meanwhile stays cancelled', async () => {
    await state.calibrations.put(id, exampleCalibration(id, { state: 'cancelled', error: 'by a user' }))
    await work()
    expect(await other.calibrations.get(id)).toMatchObject({ state: 'cancelled', error: 'by a user' })
  })
})
