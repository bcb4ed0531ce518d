/** From what the planner knows to a problem for the optimiser, while what it knows changes. */
import { expect, it } from 'vitest'
import { ProblemBuilder } from '../../services/planner/queries/problem-builder.ts'
import type { Question } from '../../services/planner/queries/question.ts'
import type { RedisMirror } from '../../services/planner/knowledge/redis-mirror.ts'
import { exampleProfile, exampleResource, exampleStructure } from '../support/fixtures.ts'

const { model, shapesKey } = exampleStructure()
const QUESTION: Question = { model, shapesKey, whatIf: undefined, options: 'own', profiles: undefined }

it('counts a resource that registers anew while the structure is read', async () => {
  const tiers = ['device', 'edge', 'cloud']
  const resources = new Map(tiers.map((tier) => [tier, exampleResource(tier)]))
  const profiles = tiers.map((tier) => exampleProfile(tier, [1, 1, 1, 1]))
  const mirror = {
    revision: 1,
    resources,
    profiles: new Map(profiles.map((profile) => [profile.id, profile])),
    links: new Map(),
    calibrations: new Map(),
    paces: new Map(),
    structure: async () => {
      await Promise.resolve()
      resources.set('cloud', exampleResource('cloud', { options: { threads: 4, optimisation: 'all' } }))
      mirror.revision += 1
      return exampleStructure()
    },
  }
  const builder = new ProblemBuilder({
    mirror: mirror as unknown as RedisMirror,
    heartbeatMs: 10_000,
    now: Date.now,
  })
  const { leftOut } = await builder.build(QUESTION)
  expect(leftOut).toEqual([
    { resource: 'cloud', reason: expect.stringMatching(/1 thread .*4 threads/) as string },
  ])
})

it('says which profiles were measured with other inputs than the model has samples', async () => {
  const tiers = ['device', 'edge', 'cloud']
  const measuredWith = { device: 'first', edge: 'second', cloud: undefined }
  const profiles = tiers.map((tier) => ({
    ...exampleProfile(tier, [1, 1, 1, 1]),
    samples: measuredWith[tier as 'device'],
  }))
  const mirror = {
    revision: 1,
    resources: new Map(tiers.map((tier) => [tier, exampleResource(tier)])),
    profiles: new Map(profiles.map((profile) => [profile.id, profile])),
    links: new Map(),
    calibrations: new Map(),
    paces: new Map(),
    structure: async () => ({ ...exampleStructure(), samples: 'second' }),
  }
  const builder = new ProblemBuilder({
    mirror: mirror as unknown as RedisMirror,
    heartbeatMs: 10_000,
    now: Date.now,
  })
  const { notes } = await builder.build(QUESTION)
  expect(notes.filter((note) => note.includes('samples changed'))).toEqual([
    expect.stringMatching(
      /profile of device was measured with other samples.*benchmark the model on it again/,
    ),
    expect.stringMatching(/profile of cloud was measured with made-up inputs/),
  ])
})
