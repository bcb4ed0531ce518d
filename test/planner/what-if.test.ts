/** What-if changes: what they do to a plan, that nothing stored changes, and that the answer says so. */
import type { LinkView } from '../../shared/contracts/resource.ts'
import { describe, expect, it } from 'vitest'
import { linkId } from '../../shared/platform/redis/state.ts'
import { exampleLink, exampleResource } from '../support/fixtures.ts'
import { errorOf, plansOf, usePlanner } from './harness.ts'
import { eventually } from '../support/eventually.ts'

const { used, ask } = usePlanner()
const allInCloud = '/v1/plans?model=chain&top=1&mustUseTiers=cloud&maxStages=1'
const query = (text: string) => `${allInCloud}&${text}`
/** 4 ms of compute, 1000 B there and 40 B back. */
const cloudMs = (rttMs: number, upMbps = 8, downMbps = 8) => 4 + rttMs + 8 / upMbps + 0.32 / downMbps

describe('a what-if', () => {
  it.each([
    ['network=3g', cloudMs(66.7, 1.6, 1.6), /preset 3g/],
    ['links=device>cloud:rttMs=20', cloudMs(20), /link device>cloud at rttMs 20/],
    ['links=device>cloud:rttMs=20;upMbps=4;downMbps=2', cloudMs(20, 4, 2), /upMbps 4, downMbps 2/],
    ['links=device>cloud:preset=wifi', cloudMs(10, 18.88, 18.88), /preset wifi/],
    ['extraRttMs=device>cloud:30', cloudMs(31), /30 ms more round trip/],
    ['network=3g&extraRttMs=device>cloud:30', cloudMs(96.7, 1.6, 1.6), /preset 3g.*30 ms more/s],
    ['network=3g&links=device>cloud:rttMs=5', cloudMs(5, 1.6, 1.6), /preset 3g.*rttMs 5/s],
    ['slowdowns=cloud:2', cloudMs(1) + 4, /cloud 2x slower/],
    ['slowdowns=cloud:0.5', cloudMs(1) - 2, /cloud 0.5x slower/],
  ])('%s changes the prediction and is said in a note', async (text, predictedMs, note) => {
    const answer = await ask(query(text))
    expect(plansOf(answer)[0]?.predictedMs).toBeCloseTo(predictedMs, 9)
    expect(plansOf(answer)[0]?.emulated).toBe(true)
    expect(String(answer.body.notes)).toMatch(note)
  })

  it('is the same as JSON', async () => {
    const links = { 'device>cloud': { rttMs: 20, upMbps: 4 } }
    const json = await ask('/v1/plans', {
      model: 'chain',
      links,
      slowdowns: { edge: 3 },
      only: ['device', 'edge', 'cloud'],
    })
    const url = await ask(
      '/v1/plans?model=chain&links=device>cloud:rttMs=20;upMbps=4&slowdowns=edge:3&only=device,edge,cloud',
    )
    expect(json.body).toEqual(url.body)
    expect(json.status).toBe(200)
  })

  it('leaves what is stored as it was', async () => {
    const links = async () => {
      const { body } = await ask('/v1/links')
      // All but the time that has passed.
      return (body as { items: LinkView[] }).items.map(({ ageMs, ...link }) => {
        expect(ageMs).toBeGreaterThanOrEqual(0)
        return link
      })
    }
    const before = await links()
    await ask(query('network=3g&links=device>cloud:rttMs=20&slowdowns=cloud:7&extraRttMs=device>edge:1'))
    expect(await links()).toEqual(before)
    const plain = await ask(allInCloud)
    expect(plansOf(plain)[0]?.predictedMs).toBeCloseTo(cloudMs(1), 9)
    expect(plain.body).toMatchObject({ emulated: false, notes: [] })
  })

  it('keeps the part of a round trip that lies beyond the access network', async () => {
    const emulation = { preset: 'wifi', rttMs: 30, upMbps: 18.88, downMbps: 18.88 }
    const put = (extra: object) =>
      used.state.links.put(
        linkId('device', 'cloud'),
        exampleLink('device', 'cloud', { rttMs: 31, emulated: true, emulation: { ...emulation, ...extra } }),
      )
    // As recorded by the testbed, and as recorded before it said so.
    for (const extra of [{ extraRttMs: 20 }, {}]) {
      await put(extra)
      await eventually(async () => {
        const answer = await ask(query('network=3g'))
        expect(plansOf(answer)[0]?.predictedMs).toBeCloseTo(cloudMs(66.7 + 20, 1.6, 1.6), 9)
      })
    }
  })

  it('takes a machine away, or all but some, and lists what is left out', async () => {
    const without = await ask('/v1/plans?model=chain&top=100&without=cloud')
    const only = await ask('/v1/plans?model=chain&top=100&only=device,edge')
    for (const answer of [without, only]) {
      const used = plansOf(answer).flatMap((plan) => plan.stages.map((stage) => stage.resource))
      expect(new Set(used)).toEqual(new Set(['device', 'edge']))
      expect(answer.body.leftOut).toEqual([
        { resource: 'cloud', reason: expect.stringMatching(/what-if/) as string },
      ])
    }
  })

  it('plans with a machine that is down as if it were there', async () => {
    const heartbeatAt = new Date(Date.now() - 60_000).toISOString()
    await used.state.resources.put('cloud', exampleResource('cloud', { heartbeatAt }))
    await eventually(async () => expect((await ask(query('')).then(errorOf))?.code).toBe('conflict'))
    const answer = await ask(query('present=cloud'))
    expect(plansOf(answer)[0]?.stages[0]?.resource).toBe('cloud')
    expect(String(answer.body.notes)).toMatch(/cloud present/)
  })

  it('can suppose a link that was never measured, given all its figures', async () => {
    await used.state.links.delete(linkId('device', 'cloud'))
    await eventually(async () => expect((await ask(query(''))).status).not.toBe(200))
    const answer = await ask(query('links=device>cloud:rttMs=2;upMbps=8;downMbps=8'))
    expect(plansOf(answer)[0]?.predictedMs).toBeCloseTo(cloudMs(2), 9)
    const partly = await ask(query('links=device>cloud:rttMs=2'))
    expect(errorOf(partly)).toMatchObject({ code: 'badRequest', details: { link: 'device>cloud' } })
  })

  it.each([
    ['links=device>clout:rttMs=1', 404, /unknown resource "clout"; did you mean cloud\?/],
    ['links=cloud>device:rttMs=1', 400, /later tier/],
    ['links=device>cloud:rttMs=-1', 400, /rttMs/],
    ['links=device>cloud:rttMs=NaN', 400, /rttMs/],
    ['links=device>cloud:upMbps=Infinity', 400, /upMbps/],
    ['links=device>cloud:upMbps=0', 400, /upMbps/],
    ['links=device>cloud:', 400, /give a preset, or some of/],
    ['links=device>cloud', 400, /give a preset, or some of/],
    ['links=device>cloud:preset=3g;rttMs=1', 400, /give a preset, or some of/],
    ['links=device>cloud:speed=1', 400, /speed/],
    ['links=device-cloud:rttMs=1', 400, /a link is written/],
    ['links=device>cloud:rttMs=1,device>cloud:rttMs=2', 400, /given twice/],
    ['extraRttMs=device>cloud:-3', 400, /extraRttMs/],
    ['slowdowns=cloud:0', 400, /slowdowns/],
    ['slowdowns=cloud:', 400, /slowdowns/],
    ['slowdowns=clouds:2', 404, /did you mean cloud\?/],
    ['without=edgy', 404, /did you mean edge\?/],
    ['only=device,clod', 404, /did you mean cloud\?/],
    ['only=cloud&without=cloud', 400, /in only and in without/],
    ['without=cloud&mustUseResources=cloud', 400, /mustUseResources: cloud cannot be asked for/],
    ['only=edge&source=device', 400, /source: device cannot be asked for/],
    ['network=5g', 400, /network/],
  ])('%s is refused with %i', async (text, status, message) => {
    const answer = await ask(`/v1/plans?model=chain&${text}`)
    expect(errorOf(answer)?.message).toMatch(message)
    expect(answer.status).toBe(status)
  })
})
