/** The service's additions to the optimiser: codecs, options, other views, maps, and the texts beside the plans. */
import { describe, expect, it } from 'vitest'
import { Calibration } from '../../shared/contracts/calibration.ts'
import { GraphPlanAnswer } from '../../shared/contracts/graph-plan.ts'
import { ExplainedAnswer, SweepAnswer } from '../../shared/contracts/plan-sweep.ts'
import { createPlannerClient } from '../../shared/client/planner.ts'
import { linkId } from '../../shared/platform/redis/state.ts'
import {
  exampleLink,
  exampleProfile,
  exampleResource,
  exampleStructure,
  MODEL_ID,
} from '../support/fixtures.ts'
import { errorOf, plansOf, usePlanner } from './harness.ts'
import { eventually } from '../support/eventually.ts'

const { used, ask } = usePlanner()

const speeds = [{ codec: 'q8', encodeMsPerMb: 0.5, decodeMsPerMb: 0.25 }]

/** q8 leaves a quarter of the bytes at boundary 1 and may spoil one answer in a hundred. */
function calibration(changes: Partial<Calibration> = {}): Calibration {
  return Calibration.parse({
    id: 'one',
    model: MODEL_ID,
    shapesKey: exampleStructure().shapesKey,
    resource: 'device',
    codecs: ['q8'],
    boundaries: [1],
    samples: 10,
    sampleSource: 'given',
    labelled: false,
    state: 'completed',
    progress: { fraction: 1, step: 'done' },
    cells: [
      {
        boundary: 1,
        codec: 'q8',
        bytesRatio: 0.25,
        top1Agreement: 1,
        top1Bounds: { low: 0.99, high: 1 },
        relativeError: 0.001,
        relativeErrorBound: 0.002,
        lossBound: 0.01,
        lossMedian: 0,
        samples: 10,
      },
    ],
    notes: [],
    createdAt: '2026-01-01T00:00:00.000Z',
    ...changes,
  })
}

async function putSpeeds(): Promise<void> {
  for (const [name, layerMs] of [
    ['device', 10],
    ['edge', 4],
    ['cloud', 1],
  ] as const) {
    const profile = exampleProfile(name, Array<number>(4).fill(layerMs), { codecs: speeds })
    await used.state.profiles.put(profile.id, profile)
  }
}

describe('a stored calibration', () => {
  const split = '/v1/plans?model=chain&top=1&firstLayersOnDevice=1&mustRunLayers=1-4:cloud'

  it('lets a plan use its codec, up to the accuracy loss that is allowed', async () => {
    await putSpeeds()
    await used.state.calibrations.put('one', calibration())
    await eventually(async () => {
      const plan = plansOf(await ask(`${split}&maxAccuracyLoss=0.02`))[0]
      expect(plan?.transfers[0]).toMatchObject({ codec: 'q8', bytes: 400, wireBytes: 100 })
      expect(plan?.id).toMatch(/cloud_1-4_q8$/)
    })
    expect(plansOf(await ask(split))[0]?.transfers[0]).toMatchObject({ codec: 'none', wireBytes: 400 })
  })

  it('counts as the last one made, and not before it is completed', async () => {
    await putSpeeds()
    const cells = [{ ...calibration().cells[0]!, bytesRatio: 0.5 }]
    await used.state.calibrations.put(
      'two',
      calibration({ id: 'two', createdAt: '2026-02-01T00:00:00.000Z', cells }),
    )
    await used.state.calibrations.put('one', calibration())
    const begun = { id: 'three', createdAt: '2026-03-01T00:00:00.000Z', state: 'active' as const }
    await used.state.calibrations.put('three', calibration({ ...begun, cells: [] }))
    await eventually(async () =>
      expect(plansOf(await ask(`${split}&maxAccuracyLoss=1`))[0]?.transfers[0]).toMatchObject({
        wireBytes: 200,
      }),
    )
  })

  it('on made-up samples does not take the place of an earlier one on real ones', async () => {
    await putSpeeds()
    await used.state.calibrations.put('one', calibration())
    const cells = [{ ...calibration().cells[0]!, lossBound: 1 }]
    const later = {
      id: 'two',
      createdAt: '2026-02-01T00:00:00.000Z',
      sampleSource: 'made-up' as const,
      cells,
    }
    await used.state.calibrations.put('two', calibration(later))
    await eventually(async () => {
      const answer = await ask(`${split}&maxAccuracyLoss=0.02`)
      expect(plansOf(answer)[0]?.transfers[0]).toMatchObject({ codec: 'q8' })
      expect(String(answer.body.notes)).not.toMatch(/made-up/)
    })
  })

  it('on made-up samples is said in a note', async () => {
    await putSpeeds()
    await used.state.calibrations.put('one', calibration({ sampleSource: 'made-up' }))
    await eventually(async () =>
      expect(String((await ask(split)).body.notes)).toMatch(/made-up samples \(one\)/),
    )
  })
})

describe('runtime options', () => {
  const fast = () => exampleProfile('device', [1, 1, 1, 1], { options: { threads: 2, optimisation: 'all' } })

  it('measured besides the own ones are a choice of the planner when asked, and cannot be deployed', async () => {
    await used.state.profiles.put(fast().id.replace(/-1$/, '-2'), {
      ...fast(),
      id: fast().id.replace(/-1$/, '-2'),
    })
    const asked = '/v1/plans?model=chain&top=1&mustUseResources=device&maxStages=1&mustNotUseTiers=edge,cloud'
    const plan = await eventually(async () => {
      const [best] = plansOf(await ask(`${asked}&options=any`))
      expect(best?.predictedMs).toBe(4)
      return best
    })
    expect(plan?.id).toMatch(/device_0-4_t2-all$/)
    expect(plansOf(await ask(asked))[0]?.predictedMs).toBe(40)
    const refused = await ask('/v1/deployments', { plan: plan?.id })
    expect([refused.status, errorOf(refused).message]).toEqual([409, expect.stringMatching(/2 threads/)])
  })
})

describe('a profile that failed its own check', () => {
  it('is a warning on every plan built on it and on no other', async () => {
    const predictionError = {
      median: 0.12,
      maximum: 0.3,
      ok: false,
      thresholds: { median: 0.05, maximum: 0.15 },
      cuts: [{ k: 2, predictedMs: 8, measuredMs: 9 }],
    }
    const profile = exampleProfile('edge', [4, 4, 4, 4], { predictionError })
    await used.state.profiles.put(profile.id, profile)
    await eventually(async () => {
      const answer = await ask('/v1/plans?model=chain&top=100')
      for (const plan of plansOf(answer)) {
        const usesEdge = plan.stages.some((stage) => stage.resource === 'edge')
        expect(plan.warnings).toEqual(usesEdge ? [expect.stringMatching(/edge failed its own check/)] : [])
      }
      expect(String(answer.body.notes)).toMatch(
        /edge failed its own check.*12\.0 % in the median and 30\.0 %/,
      )
    })
  })
})

describe('a profile of another machine', () => {
  it('under the same name is said to be one, and how', async () => {
    const edge = exampleResource('edge')
    const machine = { ...edge.machine, cpuModel: 'a newer one', onnxruntime: '1.31.0' }
    await used.state.resources.put('edge', { ...edge, machine })
    await eventually(async () => {
      const notes = String((await ask('/v1/plans?model=chain')).body.notes)
      expect(notes).toMatch(
        /profile of edge was measured on another machine.*CPU .*not a newer one.*ONNX Runtime/,
      )
      expect(notes).not.toMatch(/profile of (device|cloud) was measured on another/)
    })
  })
})

describe('what serving says of a profile', () => {
  it('is shown beside the plans and changes none of them', async () => {
    const before = await ask('/v1/plans?model=chain')
    const { id } = exampleProfile('edge', [4, 4, 4, 4])
    const served = { id, scale: 1.25, spread: 0.1, samples: 40, updatedAt: '2026-01-01T00:00:00.000Z' }
    await used.state.served.put(id, served)
    await eventually(async () => {
      const after = ExplainedAnswer.parse((await ask('/v1/plans?model=chain')).body)
      expect(after.served).toEqual([{ ...served, resource: 'edge' }])
      expect(after.plans).toEqual(ExplainedAnswer.parse(before.body).plans)
    })
  })
})

describe('imported machines', () => {
  const put = async (name: string, tier: string, layerMs: number) => {
    const past = { startedAt: '2020-01-01T00:00:00.000Z', heartbeatAt: '2020-01-01T00:00:00.000Z' }
    await used.state.resources.put(name, exampleResource(tier, { name, source: 'imported', ...past }))
    const profile = exampleProfile(name, Array<number>(4).fill(layerMs))
    await used.state.profiles.put(profile.id, profile)
  }

  it('are planned with, never deployed to', async () => {
    await put('old-cloud', 'cloud', 0.1)
    await used.state.links.put(linkId('device', 'old-cloud'), exampleLink('device', 'old-cloud'))
    await eventually(async () => {
      const [best] = plansOf(await ask('/v1/plans?model=chain&top=1'))
      expect(best?.stages[0]?.resource).toBe('old-cloud')
      const refused = await ask('/v1/deployments', { plan: best?.id })
      expect([refused.status, errorOf(refused).message]).toEqual([409, expect.stringMatching(/imported/)])
    })
  })

  it('are alone with a model that no service has a profile of, so that it is clear where the input is', async () => {
    await put('old-device', 'device', 10)
    await put('old-cloud', 'cloud', 1)
    await used.state.links.put(linkId('old-device', 'old-cloud'), exampleLink('old-device', 'old-cloud'))
    for (const name of ['device', 'edge', 'cloud'])
      await used.state.profiles.delete(exampleProfile(name, [1, 1, 1, 1]).id)
    await eventually(async () => {
      const answer = await ask('/v1/plans?model=chain&top=1')
      expect(plansOf(answer)?.[0]?.stages[0]?.resource).toBe('old-cloud')
      const left = (answer.body.leftOut as { resource: string }[]).map(({ resource }) => resource)
      expect(left.sort()).toEqual(['cloud', 'device', 'edge'])
    })
  })
})

describe('other questions', () => {
  it('the graph view answers with layers by stage and says which plans can be deployed', async () => {
    const client = createPlannerClient(used.url)
    const answer = await client.graphPlans({ model: 'chain', mustUseTiers: ['device'], minStages: 2 })
    expect(GraphPlanAnswer.parse(answer).plans[0]).toMatchObject({ deployable: true, native: false })
    const [best] = plansOf(await ask('/v1/plans?model=chain&mustUseTiers=device&minStages=2'))
    // On a chain of layers both views have the same best plan.
    expect(answer.plans[0]?.id).toBe(best?.id)
    expect(answer.why).toMatch(/^with mustUseTiers: device and minStages: 2, device \[0,/)
    expect(answer.served).toEqual([])
  })

  it('the graph view, too, names what conflicts and the value at which a plan would appear', async () => {
    const chain = await ask('/v1/plans?model=chain&maxLatencyMs=0.001')
    const graph = await ask('/v1/plans?model=chain&view=graph&maxLatencyMs=0.001')
    expect([graph.status, errorOf(graph).code]).toEqual([422, 'infeasible'])
    expect(errorOf(graph).details).toMatchObject({ conflict: ['maxLatencyMs: 0.001'], minimal: true })
    expect(errorOf(graph).details?.remedies).toEqual(errorOf(chain).details?.remedies)
  })

  it('a front lists trade-offs, none of them worse in everything', async () => {
    const answer = ExplainedAnswer.parse((await ask('/v1/plans?model=chain&pareto=latency,bytes')).body)
    expect(answer.pareto).toEqual(['latency', 'bytes'])
    for (const a of answer.plans)
      for (const b of answer.plans)
        expect(a.predictedMs < b.predictedMs && a.bytes < b.bytes, `${a.id} over ${b.id}`).toBe(false)
    expect(answer.plans.length).toBeGreaterThan(1)
  })

  it('sensitivity says at which condition another plan takes over, and it does', async () => {
    const answer = ExplainedAnswer.parse((await ask('/v1/plans?model=chain&sensitivity=true')).body)
    const [winner] = answer.plans
    const change = answer.sensitivity?.find(({ what, link }) => what === 'rtt' && link?.to === 'cloud')
    expect(change).toMatchObject({ direction: 'higher', from: 1, link: { from: 'device' } })
    const under = async (rttMs: number) =>
      plansOf(await ask(`/v1/plans?model=chain&top=1&links=device>cloud:rttMs=${rttMs}`))[0]?.id
    expect(await under((change?.at ?? 0) - 1e-6)).toBe(winner?.id)
    expect(await under((change?.at ?? 0) + 1e-6)).toBe(change?.planId)
    expect(ExplainedAnswer.parse((await ask('/v1/plans?model=chain')).body).sensitivity).toBeUndefined()
  })

  it('a sweep holds the best plan of a query under each condition', async () => {
    const bandwidths = [0.05, 0.5, 5, 50]
    const rtts = [0, 10, 100]
    const client = createPlannerClient(used.url)
    const map = await client.sweep({
      query: { model: 'chain' },
      axes: [
        { vary: 'rttMs', values: rtts },
        { vary: 'bandwidthMbps', values: bandwidths },
      ],
    })
    expect(SweepAnswer.parse(map)).toMatchObject({ emulated: true })
    expect(map.plans.length).toBeGreaterThan(1)
    for (const [row, rttMs] of rtts.entries())
      for (const [column, mbps] of bandwidths.entries()) {
        const set = `rttMs=${rttMs};upMbps=${mbps};downMbps=${mbps}`
        const [best] = plansOf(
          await ask(`/v1/plans?model=chain&top=1&links=device>edge:${set},device>cloud:${set}`),
        )
        const cell = map.cells[row * bandwidths.length + column] ?? -1
        expect(map.plans[cell]?.id, `rtt ${rttMs}, ${mbps} Mbps`).toBe(best?.id)
      }
  })

  it('a sweep over networks takes presets as a what-if does', async () => {
    const map = await ask('/v1/plans/sweep', {
      query: { model: 'chain' },
      axes: [{ vary: 'network', values: ['3g', 'wifi'] }],
    })
    for (const [index, network] of ['3g', 'wifi'].entries()) {
      const [best] = plansOf(await ask(`/v1/plans?model=chain&top=1&network=${network}`))
      expect((map.body.values as number[])[index]).toBeCloseTo(best?.predictedMs ?? 0, 9)
    }
  })

  const tooManyCells = [1, 2, 3].map(() => ({ vary: 'rttMs', values: Array<number>(50).fill(1) }))

  it.each([
    [{ query: { model: 'chain' }, axes: [] }, /axes/],
    [{ query: { model: 'chain' }, axes: [{ vary: 'rttMs', values: [-1] }] }, /axes/],
    [{ query: { model: 'chain' }, axes: [{ vary: 'weather', values: [1] }] }, /axes/],
    [{ axes: [{ vary: 'rttMs', values: [1] }] }, /query/],
    [{ query: { model: 'chain' }, axes: tooManyCells }, /cells|axes/],
  ])('a sweep that makes no sense is refused (%#)', async (body, message) => {
    const answer = await ask('/v1/plans/sweep', body)
    expect([answer.status, errorOf(answer).message]).toEqual([400, expect.stringMatching(message)])
  })
})
