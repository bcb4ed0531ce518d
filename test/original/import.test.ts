/** The original's measurements as records of our contracts. */
import { describe, expect, it } from 'vitest'
import { Model, Structure } from '../../shared/contracts/model.ts'
import { Profile } from '../../shared/contracts/profile.ts'
import { Link } from '../../shared/contracts/resource.ts'
import { importOriginal } from '../../shared/original/index.ts'
import { fourDecimals } from '../../shared/original/lines.ts'
import { optimise, optimiseGraph } from '../../shared/planning/index.ts'
import { NEEDS_ORIGINAL, ORIGINAL_FOLDER, readDocument } from './data.ts'
import { madeUp } from './made-up.ts'

const SMALL = {
  systems: {
    'device-Pi 4': {
      tier: 'device',
      name: 'Pi 4',
      models: {
        Tiny: {
          blocks: [
            [0, 1, 0.25, 70000],
            [2, 9, 0.5, 4128],
          ],
        },
      },
    },
    'edge-pi_4': {
      tier: 'edge',
      name: 'pi_4',
      models: {
        Tiny: {
          blocks: [
            [0, 1, 0.125, 70000],
            [2, 9, 0.25, 4128],
          ],
        },
      },
    },
  },
}
const NETWORKS = { wifi: [{ source: 'Pi 4', destination: 'pi_4', pingMs: 20, bandwidthMbps: 8 }] }

describe('importOriginal', () => {
  it('costs the same in the graph view, which sends nothing back either', () => {
    const { structures, profiles, links, resources } = importOriginal(SMALL, { networks: NETWORKS })
    const problem = { structure: structures[0]!, profiles, links, resources }
    const query = { objective: 'latency' as const, top: 1, cuts: 'any' as const, mustUseTiers: ['edge'] }
    const { plans } = optimiseGraph(problem, query)
    expect(plans[0]!.predictedMs).toBeCloseTo(optimise(problem, query).plans[0]!.predictedMs, 9)
  })

  it('makes records that keep to the contracts, with nothing sent back', () => {
    const { models, structures, profiles, links, resources } = importOriginal(SMALL, { networks: NETWORKS })
    expect(models.map((model) => Model.parse(model).name)).toEqual(['tiny'])
    const [structure] = structures.map((one) => Structure.parse(one))
    expect(structure!.boundaries.map(({ bytes }) => bytes)).toEqual([150_000, 70_000, 0])
    expect(profiles.map((profile) => Profile.parse(profile).layerMs)).toEqual([
      [250, 500],
      [125, 250],
    ])
    expect(profiles.every(({ model }) => model === structure!.model)).toBe(true)
    expect(resources.map(({ name, tierIndex }) => [name, tierIndex])).toEqual([
      ['pi-4', 0],
      ['pi-4-2', 1],
    ])
    expect(
      links.map((link) => Link.parse(link)).map(({ from, to, bandwidthMbps }) => [from, to, bandwidthMbps]),
    ).toEqual([['pi-4', 'pi-4-2', 8]])
    const optimum = optimise(
      { structure: structure!, resources, profiles, links },
      { objective: 'latency', cuts: 'clean', top: 3 },
    )
    // 150 kB at 1 MB/s and a ping of 20 ms.
    expect(optimum.plans.map(({ predictedMs }) => predictedMs)).toEqual([545, 590, 750])
  })

  it('gives the same ids for the same data', () => {
    const [first, second] = [importOriginal(SMALL), importOriginal(structuredClone(SMALL))]
    expect(first.models[0]!.id).toBe(second.models[0]!.id)
    const { blocks } = SMALL.systems['device-Pi 4'].models.Tiny
    const other = structuredClone(SMALL)
    for (const { models } of Object.values(other.systems))
      models.Tiny.blocks = [[0, 1, 0.25, 60000], blocks[1]!]
    expect(importOriginal(other).models[0]!.id).not.toBe(first.models[0]!.id)
  })

  it('refuses data that is not in order', () => {
    expect(() => importOriginal({ systems: { x: { tier: 'fog', name: 'x', models: {} } } })).toThrow(
      "the original's data: profiles.systems.x.tier",
    )
    const gap = structuredClone(SMALL)
    gap.systems['device-Pi 4'].models.Tiny.blocks[1]![0] = 3
    expect(() => importOriginal(gap)).toThrow(
      'Pi 4, tiny: block 1 does not begin where the one before it ends',
    )
    const cuts = structuredClone(SMALL)
    cuts.systems['edge-pi_4'].models.Tiny.blocks[0]![3] = 1
    expect(() => importOriginal(cuts)).toThrow('tiny has other blocks or output sizes on pi_4 than on Pi 4')
    expect(() => importOriginal(SMALL, { networks: NETWORKS, network: '5g' })).toThrow(
      'name one of wifi, got: 5g',
    )
  })

  it('imports a document with several networks of layers, machines and networks of connections', () => {
    const { profiles, networks } = madeUp()
    const imported = importOriginal(profiles, { networks, network: 'wlan.csv' })
    expect(imported.models.map(({ name }) => name).sort()).toEqual(['chain', 'still', 'wide_v2'])
    expect([imported.profiles, imported.links].map(({ length }) => length)).toEqual([15, 8])
    for (const profile of imported.profiles) Profile.parse(profile)
    for (const structure of imported.structures) Structure.parse(structure)
    expect(imported.resources.map(({ name }) => name)).toEqual([
      'pi',
      '2500',
      'laptop',
      'server-gpu',
      'server-nogpu',
    ])
  })

  it('imports all that was published', NEEDS_ORIGINAL, () => {
    const imported = importOriginal(readDocument(ORIGINAL_FOLDER, 'profiles'), {
      networks: readDocument(ORIGINAL_FOLDER, 'networks'),
      network: 'network_stats.csv',
    })
    expect([imported.models, imported.profiles, imported.links].map(({ length }) => length)).toEqual([
      18, 90, 8,
    ])
    for (const profile of imported.profiles) Profile.parse(profile)
    for (const structure of imported.structures) Structure.parse(structure)
    expect(imported.resources.map(({ name }) => name).sort()).toEqual([
      '2500',
      '6700k-gpu',
      '6700k-nogpu',
      'raspi4',
      'vm2core',
    ])
  })
})

describe('numbers are printed', () => {
  it('as Python rounds them, to the even digit where two are equally near', () => {
    expect([0.03125, 0.09375, 0.15625, 0.1, 2 / 3, 1e-5, 0.00005, 12.34565].map(fourDecimals)).toEqual([
      '0.0312',
      '0.0938',
      '0.1562',
      '0.1000',
      '0.6667',
      '0.0000',
      '0.0001',
      '12.3456',
    ])
  })
})
