/** From what the planner knows to a problem for the optimiser, while what it knows changes. */
import { expect, it } from 'vitest'
import { Gatherer, type Question } from '../../services/planner/queries/gather.ts'
import type { View } from '../../services/planner/knowledge/knowledge.ts'
import { exampleProfile, exampleResource, exampleStructure } from '../support/fixtures.ts'

const { model, shapesKey } = exampleStructure()
const QUESTION: Question = { model, shapesKey, whatIf: undefined, options: 'own', profiles: undefined }

it('counts a resource that registers anew while the structure is read', async () => {
  const tiers = ['device', 'edge', 'cloud']
  const resources = new Map(tiers.map((tier) => [tier, exampleResource(tier)]))
  const profiles = tiers.map((tier) => exampleProfile(tier, [1, 1, 1, 1]))
  const view = {
    revision: 1,
    resources,
    profiles: new Map(profiles.map((profile) => [profile.id, profile])),
    links: new Map(),
    calibrations: new Map(),
    structure: async () => {
      await Promise.resolve()
      resources.set('cloud', exampleResource('cloud', { options: { threads: 4, optimisation: 'all' } }))
      view.revision += 1
      return exampleStructure()
    },
  }
  const gatherer = new Gatherer({ view: view as unknown as View, heartbeatMs: 10_000, now: Date.now })
  const { leftOut } = await gatherer.gather(QUESTION)
  expect(leftOut).toEqual([
    { resource: 'cloud', reason: expect.stringMatching(/1 thread .*4 threads/) as string },
  ])
})
