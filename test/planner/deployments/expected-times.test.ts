import { describe, expect, it } from 'vitest'
import { expectedTimes } from '../../../services/planner/deployments/expected-times.ts'
import type { Plan } from '../../../shared/contracts/plan.ts'
import { usePlanner } from '../harness.ts'

const { ask } = usePlanner()

const encodedFirst = ({ transfers }: Plan) => transfers[0]?.encodeMs ?? 0
/** The first hop runs no layer if the source only has the input. */
const computedFirst = ({ stages, source, relayMs = 0 }: Plan) =>
  stages[0]?.resource === source ? stages[0].computeMs : relayMs

describe('the time that a plan expects from a hop to its answer', () => {
  it('is, with what the first hop does, the whole time of the plan', async () => {
    const { body } = await ask('/v1/plans?model=chain&source=device&top=100')
    const plans = (body as unknown as { plans: Plan[] }).plans
    expect(new Set(plans.map(({ stages }) => stages.length))).toEqual(new Set([1, 2, 3]))
    expect(plans.some((plan) => computedFirst(plan) === 0)).toBe(true)
    for (const plan of plans) {
      const times = expectedTimes(plan)
      expect(times).toHaveLength(plan.transfers.length + 1)
      const [first, second, third] = times
      expect(first).toBeUndefined()
      const own = computedFirst(plan) + encodedFirst(plan)
      expect(own + (second?.ms ?? 0)).toBeCloseTo(plan.predictedMs, 6)
      if (!second) continue
      expect(second.bytes).toBe(plan.transfers[0]?.bytes)
      expect(second.highMs / second.ms).toBeCloseTo(plan.interval.highMs / plan.predictedMs, 6)
      if (third) expect(third.ms).toBeLessThan(second.ms)
    }
  })

  it('is in the record that resources are given', async () => {
    const { body } = await ask('/v1/plans?model=chain&mustUseTiers=device,cloud&top=1')
    const plan = (body as unknown as { plans: Plan[] }).plans[0]!
    const { status, body: record } = await ask('/v1/deployments', { plan: plan.id, name: 'timed' })
    expect(status).toBe(202)
    expect(record).toMatchObject({ typicalInterval: plan.typicalInterval, predictedMs: plan.predictedMs })
    expect((record['hops'] as object[])[0]).not.toHaveProperty('expected')
    expect((record['hops'] as object[]).at(-1)).toMatchObject({ expected: expectedTimes(plan).at(-1) })
  })
})
