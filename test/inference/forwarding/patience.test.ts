/** How long a next hop is waited for: over emulated links that are cut, and with peers that are slow or busy. */
import { setTimeout as sleep } from 'node:timers/promises'
import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type LinkEmulator, startLinkEmulator } from '../../../infra/testbed/link-emulator/emulator.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { until } from '../../support/eventually.ts'
import { type Hop, hop } from '../../support/fixtures.ts'
import { parametersOf, type RawAnswer, valuesOf } from '../support/service.ts'
import { rightAnswer, startStranger } from '../support/stranger.ts'
import { branchedModel, Y } from '../support/toy-models.ts'
import { withToyServices } from '../support/toy-services.ts'

const services = withToyServices([branchedModel('a')])
const { start, urlOf, engineOf, infer } = services
let emulator: LinkEmulator

/** What its plan expects of the second hop. */
const expected = (ms: number) => ({ expected: { ms, highMs: ms, bytes: 16 } })
const onto = (resource: string, ms: number): Hop[] => [
  hop('device', 0, 2),
  { ...hop(resource, 2, 3), ...expected(ms) },
]
const deploy = async (id: string, hops: Hop[], changes?: Partial<Deployment>) => {
  await services.deploy(services.deploymentOf(id, hops, changes))
  await until(async () => engineOf('device').loaded().includes('branched:2-3'))
}
/** The resource that ran the second hop. */
const by = ({ status, json }: RawAnswer) => {
  expect([status, valuesOf(json)]).toEqual([200, Y.data])
  return parametersOf(json)['scission_hop1_resource']
}

beforeAll(async () => {
  await start('edge')
  const { port } = new URL(urlOf('edge'))
  emulator = await startLinkEmulator([
    {
      name: 'to-edge',
      target: { host: '127.0.0.1', port: Number(port) },
      rttMs: 2,
      upMbps: 1000,
      downMbps: 1000,
    },
  ])
  const url = `http://127.0.0.1:${emulator.ports['to-edge']}`
  await start('device', { SCISSION_ROUTES: JSON.stringify({ edge: { url } }) })
})
afterAll(() => emulator.close())

describe('a link that is cut silently', () => {
  it('before the first answer holds up requests for a small multiple of what the plan expects', async () => {
    await deploy('cut-first', onto('edge', 100))
    await emulator.cut('to-edge')
    const startedAt = performance.now()
    expect(by(await infer('cut-first'))).toBe('device')
    expect(by(await infer('cut-first'))).toBe('device')
    // 1.4 s; without the plan's figure it would be the timeout of hops, 15 or 30 s.
    expect(performance.now() - startedAt).toBeLessThan(10_000)
    await emulator.restore('to-edge')
    await until(async () => by(await infer('cut-first')) === 'edge')
  })

  it('after slow and quick answers holds up one request, and the machine is used again afterwards', async () => {
    await deploy('cut-later', onto('edge', 400))
    engineOf('edge').runMs = 400
    expect(by(await infer('cut-later'))).toBe('edge')
    engineOf('edge').runMs = 0
    for (let round = 0; round < 3; round += 1) expect(by(await infer('cut-later'))).toBe('edge')
    await emulator.cut('to-edge')
    const startedAt = performance.now()
    for (let round = 0; round < 5; round += 1) expect(by(await infer('cut-later'))).toBe('device')
    expect(performance.now() - startedAt).toBeLessThan(8000)
    await emulator.restore('to-edge')
    await until(async () => by(await infer('cut-later')) === 'edge')
  })

  it('is waited for where there is no other way', async () => {
    await deploy('cut-strict', onto('edge', 1), { fallback: 'none' })
    expect(by(await infer('cut-strict'))).toBe('edge')
    await emulator.cut('to-edge')
    const waiting = infer('cut-strict')
    await sleep(2500)
    await emulator.restore('to-edge')
    expect(by(await waiting)).toBe('edge')
  })
})

describe('a hop that is slower than its plan says', () => {
  it('is learnt, and not given up for ever', async () => {
    await deploy('slow', onto('edge', 5))
    engineOf('edge').runMs = 2500
    await until(async () => by(await infer('slow')) === 'edge')
    for (let round = 0; round < 2; round += 1) expect(by(await infer('slow'))).toBe('edge')
  })

  it('is learnt too when it was quick for long', async () => {
    await deploy('slowed', onto('edge', 5))
    for (let round = 0; round < 20; round += 1) expect(by(await infer('slowed'))).toBe('edge')
    engineOf('edge').runMs = 1600
    await until(async () => by(await infer('slowed')) === 'edge')
    for (let round = 0; round < 2; round += 1) expect(by(await infer('slowed'))).toBe('edge')
  })

  it('has all the time it needs where no plan says anything', async () => {
    await deploy('unplanned', [hop('device', 0, 2), hop('edge', 2, 3)])
    engineOf('edge').runMs = 2500
    expect(by(await infer('unplanned'))).toBe('edge')
  })
})

describe('a peer that is busy', () => {
  /** Answers one request after the other; those of `slow` take long. */
  async function startBusy(slowMs: number, quickMs: number) {
    const peer = await startStranger(services.state, 'busy')
    let queue = Promise.resolve()
    peer.answerWith = (res, path) => {
      if (!path.endsWith('/infer')) return res.end()
      queue = queue.then(async () => {
        await sleep(path.includes('/busy-slow') ? slowMs : quickMs)
        rightAnswer(res)
      })
      return undefined
    }
    return peer
  }

  it('with one deployment keeps the other waiting, and is not given up', async () => {
    const peer = await startBusy(1600, 5)
    await deploy('busy-slow', onto('busy', 1600))
    await deploy('busy-quick', onto('busy', 5))
    for (let round = 0; round < 5; round += 1) expect(by(await infer('busy-quick'))).toBeUndefined()
    expect(by(await infer('busy-slow'))).toBeUndefined()
    const slow = infer('busy-slow')
    await until(async () => peer.calls.filter(({ path }) => path.includes('busy-slow/infer')).length > 1)
    const quick = await Promise.all([infer('busy-quick'), infer('busy-quick')])
    expect([...quick, await slow].map(by)).toEqual([undefined, undefined, undefined])
    await peer.close()
  })

  it('with many requests at once is waited for as long as it answers them', async () => {
    const peer = await startBusy(0, 100)
    await deploy('burst', onto('busy', 100))
    expect(by(await infer('burst'))).toBeUndefined()
    const answers = await Promise.all(Array.from({ length: 30 }, () => infer('burst')))
    expect(answers.map(by)).toEqual(answers.map(() => undefined))
    await peer.close()
  })
})
