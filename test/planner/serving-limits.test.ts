/** What the machines announced that they refuse to serve is neither planned nor deployed. */
import { describe, expect, it } from 'vitest'
import { refuseUnservable } from '../../services/planner/deployments/servable.ts'
import type { Plan } from '../../shared/contracts/plan.ts'
import { MESSAGE_JSON_BYTES, type ServingLimits } from '../../shared/contracts/resource.ts'
import { eventually } from '../support/eventually.ts'
import { exampleResource, exampleStructure } from '../support/fixtures.ts'
import { errorOf, plansOf, usePlanner } from './harness.ts'

const { used, ask } = usePlanner()
const QUERY = '/v1/plans?model=chain&source=device&top=50&minStages=2'
const { boundaries, inputs } = exampleStructure()
const inputBytes = inputs.reduce((sum, { bytes }) => sum + bytes, 0)

/** @returns once the planner has seen it. */
async function limit(name: string, limits: Partial<ServingLimits>): Promise<void> {
  const all = { messageBytes: 1e12, stageBytes: 1e12, hopTimeoutMs: 30_000, ...limits }
  await used.state.resources.put(name, exampleResource(name, { limits: all }))
  await eventually(async () => {
    const { body } = await ask('/v1/resources')
    const found = (body.items as { name: string; limits?: ServingLimits }[]).find((one) => one.name === name)
    expect(found?.limits).toEqual(all)
  })
}

const bytesInto = (resource: string, plans: ReturnType<typeof plansOf>) =>
  plans.flatMap(({ stages }) =>
    stages.flatMap((stage) => (stage.resource === resource ? [boundaries[stage.from]!.bytes] : [])),
  )
const deploy = (plan: string) => ask('/v1/deployments', { plan })

describe('the limits of a machine', () => {
  it('keep longer messages out of its plans, in both views, but not out of those of others', async () => {
    const before = plansOf(await ask(QUERY))
    const largest = Math.max(...bytesInto('edge', before))
    await limit('edge', { messageBytes: largest - 1 + MESSAGE_JSON_BYTES })
    for (const view of ['chain', 'graph']) {
      const plans = plansOf(await ask(`${QUERY}&view=${view}`))
      expect(plans.length).toBeGreaterThan(0)
    }
    const after = plansOf(await ask(QUERY))
    expect(Math.max(0, ...bytesInto('edge', after))).toBeLessThan(largest)
    expect(Math.max(...bytesInto('cloud', after))).toBe(Math.max(...bytesInto('cloud', before)))
  })

  it('are named with what to raise where if there is no plan', async () => {
    await limit('edge', { messageBytes: MESSAGE_JSON_BYTES })
    const { status, body } = await ask(`${QUERY}&mustUseResources=edge`)
    expect(status).toBe(422)
    expect(JSON.stringify(body)).toMatch(/SCISSION_BODY_MEMORY_BYTES of edge at least \d+/)
  })

  it('of the source, for the request itself, are named too', async () => {
    await limit('device', { messageBytes: inputBytes })
    const answer = await ask(QUERY)
    expect(answer.status).toBe(422)
    expect(errorOf(answer).message).toMatch(
      new RegExp(
        `begins at device.*SCISSION_BODY_MEMORY_BYTES of device at least ${inputBytes + MESSAGE_JSON_BYTES}`,
      ),
    )
  })

  it('that were set after a plan was made refuse it when it is deployed', async () => {
    const [plan] = plansOf(await ask(`${QUERY}&mustUseResources=edge`))
    const stage = plan!.stages.find(({ resource }) => resource === 'edge')!
    const { bytes } = boundaries[stage.from]!
    await limit('edge', { messageBytes: bytes })
    const answer = await deploy(plan!.id)
    expect(answer.status).toBe(409)
    expect(errorOf(answer)).toMatchObject({
      details: {
        resource: 'edge',
        setting: 'SCISSION_BODY_MEMORY_BYTES',
        limit: bytes,
        needed: bytes + MESSAGE_JSON_BYTES,
        boundary: stage.from,
      },
    })
    expect(errorOf(answer).message).toContain(`boundary ${stage.from} between`)
    expect(errorOf(answer).message).toContain(`${bytes} bytes`)
    expect(await used.state.deployments.all()).toEqual([])
  })

  it.each([
    [
      'edge',
      { stageBytes: 1 },
      /stage of layers \d+-\d+ needs \d+ bytes, edge allows 1 \(SCISSION_TRIAL_MEMORY_BYTES\)/,
    ],
    ['device', { hopTimeoutMs: 0.001 }, /behind boundary \d+ between device.*SCISSION_HOP_TIMEOUT_MS/],
    ['device', { messageBytes: 1 }, /a request, whose tensors.*device allows 1/],
  ])('of %s: %j', async (name, limits, message) => {
    const [plan] = plansOf(await ask(`${QUERY}&mustUseResources=edge`))
    await limit(name, limits)
    const answer = await deploy(plan!.id)
    expect([answer.status, errorOf(answer).message]).toEqual([409, expect.stringMatching(message)])
  })

  it('of a machine through which a longer answer comes back refuse it too', async () => {
    const [plan] = plansOf(await ask(`${QUERY}&mustUseResources=edge`)) as unknown as Plan[]
    const limits = { messageBytes: inputBytes + MESSAGE_JSON_BYTES, stageBytes: 1e12, hopTimeoutMs: 30_000 }
    const transfers = plan!.transfers.map((transfer) => ({ ...transfer, returnBytes: inputBytes + 1 }))
    const refuse = () =>
      refuseUnservable({ ...plan!, transfers }, inputBytes, new Map([['device', { limits }]]))
    expect(refuse).toThrow(/answer of \w+ to device.*device allows \d+ \(SCISSION_BODY_MEMORY_BYTES\)/)
    limits.messageBytes += 1
    expect(refuse).not.toThrow()
  })

  it('that nobody announced refuse nothing', async () => {
    const [plan] = plansOf(await ask(QUERY))
    expect((await deploy(plan!.id)).status).toBe(202)
  })
})
