/** What a plan would take, without a search. */
import { describe, expect, it } from 'vitest'
import { stagesOf } from '../../infra/cli/commands/price-command.ts'
import { PricedPlan } from '../../shared/contracts/plan.ts'
import { linkId } from '../../shared/platform/redis/state.ts'
import { eventually } from '../support/eventually.ts'
import { exampleLink, exampleProfile, exampleResource } from '../support/fixtures.ts'
import { errorOf, plansOf, usePlanner } from './harness.ts'

const { used, ask } = usePlanner()

describe('GET /v1/plans/ID', () => {
  it('is what the search found for each of its plans', async () => {
    const found = plansOf(await ask('/v1/plans?model=chain&top=10'))
    expect(found.length).toBeGreaterThan(3)
    for (const plan of found) {
      const { paces, notes, ...priced } = PricedPlan.parse((await ask(`/v1/plans/${plan.id}`)).body)
      expect(priced).toEqual(plan)
      expect([paces, notes]).toEqual([[], []])
    }
  })

  it('names what is emulated of the plan, and nothing else', async () => {
    const [whole, split] = ['device.device_0-4', 'device.device_0-1.edge_1-4'].map(
      (rest) => `${exampleProfile('edge', [1]).id.split('.').slice(0, 2).join('.')}.${rest}`,
    )
    const notesOf = async (id: string | undefined) =>
      PricedPlan.parse((await ask(`/v1/plans/${id}`)).body).notes.filter((note) =>
        note.startsWith('emulated'),
      )
    await used.state.resources.put('edge', exampleResource('edge', { slowdown: 2, emulated: true }))
    await eventually(async () => {
      expect(await notesOf(split)).toEqual(['emulated speed: edge runs 2x slower than this machine'])
    })
    expect(await notesOf(whole)).toEqual([])
  })

  it('prices plans on imported machines too', async () => {
    await used.state.resources.put('lab', exampleResource('cloud', { name: 'lab', source: 'imported' }))
    const profile = exampleProfile('lab', [1, 1, 1, 1])
    await used.state.profiles.put(profile.id, profile)
    await used.state.links.put(linkId('device', 'lab'), exampleLink('device', 'lab'))
    const id = `${profile.model}.${profile.shapesKey}.device.device_0-1.lab_1-4`
    await eventually(async () => {
      // 10 ms, a round trip, 400 bytes there and 40 back at 1000 bytes a ms, 3 ms.
      expect((await ask(`/v1/plans/${id}`)).body).toMatchObject({ predictedMs: 14.44 })
    })
  })

  it('refuses what is no plan, or cannot be priced', async () => {
    const unknown = await ask('/v1/plans/nonsense')
    expect([unknown.status, errorOf(unknown).message]).toEqual([
      404,
      expect.stringMatching(/unknown plan id/),
    ])
    const [plan] = plansOf(await ask('/v1/plans?model=chain&top=1&use=edge'.replace('use', 'mustUseTiers')))
    await used.state.profiles.delete(exampleProfile('edge', [1]).id)
    await eventually(async () => {
      const refused = await ask(`/v1/plans/${plan?.id}`)
      expect([refused.status, errorOf(refused).message]).toEqual([409, expect.stringMatching(/edge/)])
    })
  })
})

it('stages are written RESOURCE:FROM-TO', () => {
  expect(stagesOf('device:0-3, edge-2:3-10')).toEqual([
    { resource: 'device', from: 0, to: 3 },
    { resource: 'edge-2', from: 3, to: 10 },
  ])
  for (const wrong of ['', 'device', 'device:3', 'device:0-3,', 'Device:0-3', 'device:-1-3'])
    expect(() => stagesOf(wrong)).toThrow(/--stages must be RESOURCE:FROM-TO/)
})
