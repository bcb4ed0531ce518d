/** A source that runs no layer: a request enters at its service all the same, which passes it on. */
import { describe, expect, it } from 'vitest'
import { graphInstanceOf } from '../../shared/planning/graph/graph-instance.ts'
import { graphRoutesOf } from '../../shared/planning/graph/routes.ts'
import { type GraphProblem, optimise, optimiseGraph } from '../../shared/planning/index.ts'
import { FREE, threeTiers } from './problems.ts'

/** Nothing runs on the device in the best plan. */
function threeTiersWith(callMs: number | undefined, slowdown = 1): GraphProblem {
  const { structure, profiles, resources, ...rest } = threeTiers()
  const [first, last] = [structure.layers[0]!, structure.layers.at(-1)!]
  const input = { ...first.outputs[0]!, name: first.inputs[0]!, bytes: 500 }
  return {
    ...rest,
    structure: { ...structure, inputs: [input], outputs: last.outputs },
    resources: resources.map((one) => (one.name === 'device' ? { ...one, slowdown } : one)),
    profiles: profiles.map((one) => (one.resource === 'device' ? { ...one, callMs } : one)),
  }
}

const elsewhere = { ...FREE, mustNotUseTiers: ['device'] }

const VIEWS = [
  ['chain', optimise],
  ['graph', optimiseGraph],
] as const

describe.each(VIEWS)('a source that only passes the input on, in the %s view', (_, solve) => {
  it('is charged what a request costs there, in the latency, its computing, energy and price', () => {
    const figures = { busyWatts: { device: 10 }, pricePerSecond: { device: 1 } }
    const [free, charged] = [threeTiersWith(undefined), threeTiersWith(0.5, 2)].map(
      (problem) => solve(problem, { ...elsewhere, ...figures }).plans[0]!,
    )
    expect(free).not.toHaveProperty('relayMs')
    expect(charged).toMatchObject({ relayMs: 1, source: 'device', stages: free!.stages })
    expect(charged!.predictedMs).toBeCloseTo(free!.predictedMs + 1, 12)
    expect(charged!.computeMs).toBeCloseTo(free!.computeMs + 1, 12)
    expect(charged!.energyJ).toBeCloseTo(0.01, 12)
    expect(charged!.price).toBeCloseTo(0.001, 12)
    // A slowdown does not lengthen what was measured as it is.
    expect(charged!.emulated).toBe(false)
  })

  it('moves the latency as a stage without layers does', () => {
    const given = threeTiersWith(3)
    const interval = { confidence: 0.95 as const, relative: 1, fixedMs: 2 }
    const profiles = given.profiles.map((one) => (one.resource === 'device' ? { ...one, interval } : one))
    const uncertain = { ...given, profiles }
    const [median] = solve(uncertain, elsewhere).plans
    expect(median!.moves).toContainEqual({ what: 'device', requestMs: 2, typicalMs: 2 })
    expect(median!.interval.highMs).toBeCloseTo(median!.predictedMs + 2, 12)
    const [upper] = solve(uncertain, { ...elsewhere, confidence: 'upper' }).plans
    expect(upper!.relayMs).toBe(5)
    expect(upper!.predictedMs).toBeCloseTo(median!.predictedMs + 2, 12)
  })

  it('keeps to the limits of its tier, and the remedy says how much it takes', () => {
    const limited = { ...elsewhere, maxTierMs: { device: 1 } }
    expect(() => solve(threeTiersWith(2), limited)).toThrow('with maxTierMs of device at least 2')
    expect(solve(threeTiersWith(1), limited).plans[0]).toMatchObject({ relayMs: 1 })
    expect(() => solve(threeTiersWith(1), { ...elsewhere, maxTierShare: { device: 1 } })).toThrow(
      'with maxTierShare of device at least',
    )
  })

  it('is not charged where nothing is known of it', () => {
    const given = threeTiersWith(7)
    const profiles = given.profiles.filter(({ resource }) => resource !== 'device')
    expect(solve({ ...given, profiles }, FREE).plans[0]).not.toHaveProperty('relayMs')
  })
})

it('is named as the slowest step', () => {
  const { plans, why } = optimise(threeTiersWith(50), { ...elsewhere, objective: 'throughput' })
  expect(plans[0]!.bottleneckMs).toBe(50)
  expect(why).toContain('its slowest step is device computing')
})

it('has one route through the same machines with layers on the source and without', () => {
  const instance = graphInstanceOf(threeTiersWith(1), 'device', {}, { goal: FREE, constraints: [] })
  const names = graphRoutesOf(instance).map(({ runners }) =>
    runners.map((runner) => instance.runners[runner]!.resource.name).join(' '),
  )
  expect(names.sort()).toEqual(['device', 'device cloud', 'device edge', 'device edge cloud'])
})
