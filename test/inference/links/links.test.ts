import { afterAll, beforeAll, describe, expect, it } from 'vitest'
import { type LinkEmulator, startLinkEmulator } from '../../../infra/testbed/link-emulator/emulator.ts'
import type { Link } from '../../../shared/contracts/resource.ts'
import { eventually, until } from '../../support/eventually.ts'
import { exampleLink, hop } from '../../support/fixtures.ts'
import { call, parametersOf, postJson, type TestService } from '../support/service.ts'
import { branchedModel } from '../support/toy-models.ts'
import { withToyServices } from '../support/toy-services.ts'

describe('links between inference services', () => {
  const services = withToyServices([branchedModel('a')])
  let emulator: LinkEmulator
  let device: TestService
  const SLOW = { rttMs: 40, upMbps: 8, downMbps: 32 }

  beforeAll(async () => {
    const edge = await services.start('edge')
    await services.start('cloud')
    const { port } = new URL(edge.url)
    emulator = await startLinkEmulator([
      { name: 'device-edge', target: { host: '127.0.0.1', port: Number(port) }, ...SLOW },
    ])
    const route = { url: `http://127.0.0.1:${emulator.ports['device-edge']}`, emulation: SLOW }
    device = await services.start('device', { SCISSION_ROUTES: JSON.stringify({ edge: route }) })
  })
  afterAll(() => emulator?.close())

  it('are measured by themselves once peers of later tiers appear, towards those only', async () => {
    await until(async () => (await services.state.links.all()).length === 3)
    const ids = (await services.state.links.all()).map((link) => `${link.from}>${link.to}`).sort()
    expect(ids).toEqual(['device>cloud', 'device>edge', 'edge>cloud'])
  })

  it('are measured as they are, in both directions, and labelled when emulated', async () => {
    const measured = async (to: string) => {
      const answer = await postJson(`${device.url}/v1/links/measure`, { to: [to] })
      return (answer.json as { links: Record<string, number>[] }).links[0]
    }
    expect(await measured('edge')).toMatchObject({
      from: 'device',
      to: 'edge',
      source: 'measured',
      emulated: true,
      emulation: SLOW,
      perMessageMs: expect.any(Number) as number,
      uncertainty: { rttMs: expect.any(Number) as number, bandwidthMbps: expect.any(Number) as number },
      basis: { probes: expect.any(Number) as number, traffic: 0 },
      jitterMs: expect.any(Number) as number,
    })
    // A busy machine measures every link as slower for a while.
    await eventually(async () => {
      const link = await measured('edge')
      expect(link?.['rttMs']).toBeGreaterThan(36)
      expect(link?.['rttMs']).toBeLessThan(60)
      for (const [found, set] of [
        [link?.['bandwidthMbps'], SLOW.upMbps],
        [link?.['returnBandwidthMbps'], SLOW.downMbps],
      ]) {
        expect((found ?? 0) / (set ?? 1)).toBeGreaterThan(0.85)
        expect((found ?? 0) / (set ?? 1)).toBeLessThan(1.15)
      }
    })
    await eventually(async () => {
      const direct = await measured('cloud')
      expect(direct).toMatchObject({ emulated: false })
      expect(direct?.['bandwidthMbps']).toBeGreaterThan(SLOW.downMbps)
    })
  })

  it('keep what was set by hand', async () => {
    await services.state.links.put(
      'device>cloud',
      exampleLink('device', 'cloud', { source: 'override', rttMs: 123 }),
    )
    const answer = await postJson(`${device.url}/v1/links/measure`, { to: ['cloud'] })
    expect(answer.json).toMatchObject({ links: [{ source: 'measured' }] })
    expect(await services.state.links.need('device>cloud')).toMatchObject({
      source: 'override',
      rttMs: 123,
      overridden: { source: 'measured', from: 'device', to: 'cloud' },
    })
  })

  it('to what is not a later tier are refused, naming those that are', async () => {
    const answer = await postJson(`${device.url}/v1/links/measure`, { to: ['nowhere'] })
    expect(answer.status).toBe(404)
    expect(answer.json).toMatchObject({ error: { code: 'notFound', details: { known: ['cloud', 'edge'] } } })
  })

  it('that are cut are reported, naming the peer', async () => {
    await emulator.cut('device-edge', 'reset')
    const answer = await postJson(`${device.url}/v1/links/measure`, { to: ['edge'] })
    expect(answer.status).toBe(502)
    expect(JSON.stringify(answer.json)).toContain('edge')
    await emulator.restore('device-edge')
  })

  it('carry a deployment, labelled emulated in every answer, and follow what its requests tell', async () => {
    const hops = [hop('device', 0, 1), hop('edge', 1, 3)]
    await services.state.deployments.put('split', services.deploymentOf('split', hops, { emulated: true }))
    const infer = () => services.infer('split')
    await infer()
    const parameters = parametersOf((await infer()).json)
    expect(parameters).toMatchObject({ scission_emulated: true, scission_hop0_emulated: true })
    expect(parameters['scission_hop0_nextMs']).toBeGreaterThan(SLOW.rttMs - 2)
    // The link changes; only these requests show it.
    await emulator.set('device-edge', { rttMs: 90 })
    await until(async () => {
      await infer()
      const { rttMs } = await services.state.links.need('device>edge')
      return rttMs > 80 && rttMs < 130
    })
    const link = await services.state.links.need('device>edge')
    expect(link).toMatchObject({ source: 'measured', emulated: true, emulation: SLOW })
    // Fewer messages give no estimate (MIN_MESSAGE_COUNT of traffic.ts).
    expect(link.basis?.traffic).toBeGreaterThanOrEqual(5)
    await emulator.set('device-edge', { rttMs: SLOW.rttMs })
  })

  it('that do not change stay what they are while messages of one size cross them', async () => {
    await postJson(`${device.url}/v1/links/measure`, { to: ['edge'] })
    const probed = await services.state.links.need('device>edge')
    const shown = new Map<string, Link>()
    await until(async () => {
      await services.infer('split')
      const link = await services.state.links.need('device>edge')
      shown.set(link.measuredAt, link)
      return (link.basis?.traffic ?? 0) >= 5
    })
    for (const { rttMs, bandwidthMbps, uncertainty, jitterMs } of shown.values()) {
      expect(rttMs).toBeGreaterThan(0.8 * SLOW.rttMs)
      expect(uncertainty?.rttMs).toBeGreaterThan(0)
      expect(jitterMs).toBeGreaterThanOrEqual(0)
      // Small messages show little of the bandwidth: it stays within what was known of it.
      const known = probed.uncertainty?.bandwidthMbps ?? 0
      expect(Math.abs(bandwidthMbps - probed.bandwidthMbps)).toBeLessThan(known + 0.3 * probed.bandwidthMbps)
    }
  })

  it('have probes that count and send bytes, within a limit', async () => {
    const up = await call('POST', `${device.url}/v1/link-probe`, Buffer.alloc(100_000))
    expect(up.json).toEqual({ bytes: 100_000 })
    const down = await call('GET', `${device.url}/v1/link-probe?bytes=300000`)
    expect(down.body.length).toBe(300_000)
    expect((await call('GET', `${device.url}/v1/link-probe?bytes=99999999999`)).status).toBe(400)
  })
})
