/** What plans minimise: cases computed by hand. */
import { describe, expect, it } from 'vitest'
import { missingFigures } from '../../shared/planning/index.ts'
import { threeTiers } from './problems.ts'
import { shape, solve, twoTiers } from './two-tiers.ts'

describe('objectives', () => {
  const figures = {
    busyWatts: { device: 2, cloud: 100 },
    idleWatts: { device: 1, cloud: 10 },
    transmitWatts: { device: 3 },
    pricePerSecond: { cloud: 0.5 },
    pricePerGb: { device: 1000 },
  }

  it('energy is what all resources on the path draw during the request', () => {
    const { native } = solve(twoTiers({ figures }))
    const [device, cloud] = native
    // Alone: 40 ms busy. Offloaded: 82 ms wait and wire, 4 ms compute; the wire alone 80 ms.
    expect(device?.energyJ).toBeCloseTo((2 * 40) / 1000, 12)
    expect(cloud?.predictedMs).toBe(86)
    expect(cloud?.energyJ).toBeCloseTo((3 * 80 + 1 * 6 + 100 * 4 + 10 * 82) / 1000, 12)
    expect(shape(solve(twoTiers({ figures }), { objective: 'energy' }).plans[0])).toBe('device 0-3')
  })

  it('price counts seconds of compute and bytes sent on', () => {
    const [device, cloud] = solve(twoTiers({ figures })).native
    expect(device?.price).toBe(0)
    expect(cloud?.price).toBeCloseTo((0.5 * 4) / 1000 + (1000 * 10_000) / 1e9, 12)
  })

  it('a resource without any watts or prices, where others have them, is named: it counts as free', () => {
    const problem = twoTiers()
    expect(missingFigures(problem, { busyWatts: { device: 4 } })).toEqual([
      'no watts are given for cloud: counted as 0 in every energy',
    ])
    expect(missingFigures(problem, { busyWatts: { device: 4 }, idleWatts: { cloud: 1 } })).toEqual([])
    expect(missingFigures({ ...problem, figures: { pricePerGb: { cloud: 1 } } }, {})).toEqual([
      'no prices are given for device: counted as 0 in every price',
    ])
    expect(missingFigures(problem, {})).toEqual([])
  })

  it('figures in the query go before those of the problem', () => {
    const [device] = solve(twoTiers({ figures }), { busyWatts: { device: 10 } }).native
    expect(device?.energyJ).toBeCloseTo(0.4, 12)
  })

  it('bytes keeps everything where it is, and has latency decide between equals', () => {
    const { plans } = solve(twoTiers(), { objective: 'bytes' })
    expect(plans.map((plan) => [shape(plan), plan.bytes])).toEqual([
      ['device 0-3', 0],
      ['device 0-1 cloud 1-3', 4000],
      ['device 0-2 cloud 2-3', 4000],
      ['cloud 0-3', 10_000],
    ])
  })

  it('weighted weighs ms against bytes', () => {
    const best = (bytes: number) =>
      shape(solve(threeTiers(), { objective: 'weighted', weights: { latency: 1, bytes } }).plans[0])
    expect(best(0)).toBe('edge 0-1 cloud 1-4')
    expect(best(0.01)).toBe('edge 0-2 cloud 2-4')
    expect(best(1)).toBe('device 0-4')
  })

  it('a front holds all trade-offs, none of which is beaten', () => {
    const { plans } = solve(twoTiers({ figures }), { pareto: ['latency', 'bytes'] })
    expect(plans.map((plan) => [shape(plan), plan.predictedMs, plan.bytes])).toEqual([
      ['device 0-1 cloud 1-3', 38, 4000],
      ['device 0-3', 40, 0],
    ])
  })

  it('distinct: resources lists one plan per set of resources', () => {
    const { plans } = solve(threeTiers(), { distinct: 'resources', top: 100 })
    const sets = plans.map(({ stages }) => stages.map(({ resource }) => resource).join())
    expect(new Set(sets).size).toBe(sets.length)
    expect(sets.length).toBe(7)
    expect(solve(threeTiers(), { distinct: 'resources', top: 2 }).plans).toEqual(plans.slice(0, 2))
  })
})
