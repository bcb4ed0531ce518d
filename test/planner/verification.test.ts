/** Deployments become ready once the split gave what the whole model gives: a planner and three resources with toy models. */
import { afterEach, beforeAll, beforeEach, describe, expect, it } from 'vitest'
import { formatPlanId, type PlanStage } from '../../shared/contracts/plan-id.ts'
import type { Deployment, DeploymentRequest } from '../../shared/contracts/plan.ts'
import { linkId, profileId } from '../../shared/platform/redis/state.ts'
import { call, postJson } from '../inference/support/service.ts'
import { layer, type ToyModel, toyModel, toySpec } from '../inference/support/toy-models.ts'
import { withToyServices } from '../inference/support/toy-services.ts'
import { eventually } from '../support/eventually.ts'
import { exampleCalibration, exampleLink, exampleProfile } from '../support/fixtures.ts'
import { startPlanner, type StartedService } from '../support/services.ts'

const CODEC_SPEEDS = (['q8', 'zstd'] as const).map((codec) => ({
  codec,
  encodeMsPerMb: 1,
  decodeMsPerMb: 1,
}))
const TIERS = ['device', 'edge', 'cloud']
const SHAPE = [2, 50]

/** x → a = x + 1 → b = 2a → y = b − 3. @param seam how far off `b` is if `a` was not made in the same run. */
function line(id: string, name: string, seam = 0): ToyModel {
  let made: unknown
  const a = layer('a', ['x'], SHAPE, (x) => x + 1)
  const b = layer('b', ['a'], SHAPE, (value) => 2 * value)
  const off = layer('b', ['a'], SHAPE, (value) => 2 * value + seam)
  const layers = [
    {
      ...a,
      run: (inputs: Parameters<typeof a.run>[0]) => [...a.run(inputs)].map((tensor) => (made = tensor)),
    },
    { ...b, run: (inputs: Parameters<typeof b.run>[0]) => (inputs[0] === made ? b : off).run(inputs) },
    layer('y', ['b'], SHAPE, (value) => value - 3),
  ]
  return toyModel(id, [toySpec('x', 'FP32', SHAPE)], ['y'], layers, { name })
}

const good = line('1', 'good')
const seamed = line('2', 'seamed', 0.5)
/** Off by less than what is allowed beside its largest value. */
const rounding = line('3', 'rounding', 1e-6)

const odd = (id: string, name: string, f: (x: number) => number) =>
  toyModel(
    id,
    [toySpec('x', 'FP32', SHAPE)],
    ['y'],
    [layer('a', ['x'], SHAPE, (x) => x), layer('y', ['a'], SHAPE, f)],
    { name },
  )
const random = odd('4', 'random', () => Math.random())
const notANumber = odd('5', 'not-a-number', (x) => (x > 0 ? Number.NaN : -1 / 0))
const failing = odd('6', 'failing', () => {
  throw new Error('this input is none of mine')
})
const heavy = (() => {
  const toy = odd('7', 'heavy', (x) => x)
  const layers = toy.structure.layers.map((one) => ({ ...one, weightBytes: 600 }))
  return { ...toy, structure: { ...toy.structure, layers, weightBytes: 1200 } }
})()

/** Whole numbers and text; the second layer is off by one, and says another word, if the cut lies before it. */
const exact = (() => {
  let made: unknown
  const [x, a, y, word] = [
    toySpec('x', 'FP32', [1]),
    toySpec('a', 'FP32', [1]),
    toySpec('y', 'INT64', [2]),
    toySpec('word', 'BYTES', [1]),
  ]
  const layers = [
    {
      ...layer('a', ['x'], [1], (value) => value),
      run: ([input]: { bytes: Uint8Array }[]) => [
        (made = { ...a, bytes: input?.bytes ?? new Uint8Array(4) }),
      ],
    },
    {
      name: 'ends',
      inputs: ['a'],
      outputs: [y, word],
      run: ([input]: unknown[]) => {
        const same = input === made
        const longs = new BigInt64Array([same ? 9_007_199_254_740_993n : 9_007_199_254_740_992n, 5n])
        const text = new Uint8Array([1, 0, 0, 0, same ? 97 : 98])
        return [
          { ...y, bytes: new Uint8Array(longs.buffer) },
          { ...word, bytes: text },
        ]
      },
    },
  ]
  return toyModel('8', [x], ['y', 'word'], layers, { name: 'exact' })
})()

const toys = [good, seamed, rounding, random, notANumber, failing, heavy, exact] as const
const services = withToyServices(toys)
let planner: StartedService

beforeAll(async () => {
  for (const tier of TIERS)
    await services.start(tier, { SCISSION_STAGE_BYTES: '1000', SCISSION_MAX_BATCH: '1' })
  const { state } = services
  for (const { model, structure } of toys) {
    const layerMs = structure.layers.map(() => 1)
    for (const [index, tier] of TIERS.entries()) {
      const identity = { model: model.id, shapesKey: structure.shapesKey }
      const times = layerMs.map((ms) => ms * (3 - index))
      const profile = exampleProfile(tier, times, { ...identity, codecs: CODEC_SPEEDS })
      await state.profiles.put(profileId(profile), { ...profile, id: profileId(profile) })
    }
  }
  for (const [from, to] of [
    ['device', 'edge'],
    ['device', 'cloud'],
    ['edge', 'cloud'],
  ] as const)
    await state.links.put(linkId(from, to), exampleLink(from, to, { source: 'override' }))
})
beforeEach(async () => {
  planner = await startPlanner(services.redisUrl)
})
afterEach(async () => {
  for (const { id } of await services.state.deployments.all()) await undeploy(id)
  await planner.close()
})

const undeploy = (id: string) => call('DELETE', `${planner.url}/v1/deployments/${id}`)
const stagesOf = (toy: ToyModel, cuts: readonly number[], codec?: PlanStage['codec']): PlanStage[] =>
  [...cuts, toy.layers.length].map((to, index) => ({
    resource: TIERS[index] ?? '',
    from: cuts[index - 1] ?? 0,
    to,
    ...(index > 0 && codec && { codec }),
  }))
const planOf = ({ model, structure }: ToyModel, stages: readonly PlanStage[]) =>
  formatPlanId({ model: model.id, shapesKey: structure.shapesKey, source: 'device', stages })

async function begin(toy: ToyModel, stages: readonly PlanStage[], more: Partial<DeploymentRequest> = {}) {
  const body = { plan: planOf(toy, stages), name: `live-${toy.model.name}`, fallback: 'none', ...more }
  // The planner hears of a calibration that was just put on record a moment later.
  return eventually(async () => {
    const { status, json } = await postJson(`${planner.url}/v1/deployments`, body)
    expect([status, json]).toMatchObject([202, { state: 'loading' }])
    return (json as Deployment).id
  })
}
const ended = (id: string) =>
  eventually(async () => {
    const record = await services.state.deployments.get(id)
    expect(record?.state).not.toBe('loading')
    return record as Deployment
  })
const deploy = async (...given: Parameters<typeof begin>) => ended(await begin(...given))
/** Layer ranges that each resource holds. */
const held = () => TIERS.map((tier) => services.engineOf(tier).loaded().sort())
const nothingElseHeld = (...expected: string[][]) => eventually(() => expect(held()).toEqual(expected))

describe('a deployment whose split gives what the whole model gives', () => {
  it('is ready, and its record says by how much they differ, and compared with what', async () => {
    const record = await deploy(good, stagesOf(good, [1]))
    expect(record).toMatchObject({
      state: 'ready',
      verification: {
        outcome: 'equal',
        against: 'cloud',
        input: 'made-up',
        comparisons: [
          {
            path: 'planned',
            measure: 'relativeDiff',
            equal: true,
            outputs: [
              {
                output: 'y',
                compared: 'values',
                equal: true,
                maxAbsDiff: 0,
                relativeDiff: 0,
                tolerance: 1e-5,
              },
            ],
          },
        ],
      },
    })
    expect(record.progress).toBeUndefined()
    // The whole model was loaded for this only.
    await nothingElseHeld(['good:0-1'], ['good:1-3'], [])
  })

  it('is ready with a difference within the tolerance, which is stated', async () => {
    const { state, verification } = await deploy(rounding, stagesOf(rounding, [1]))
    const [output] = verification?.comparisons[0]?.outputs ?? []
    expect([state, output?.equal]).toEqual(['ready', true])
    expect(output?.maxAbsDiff).toBeGreaterThan(0)
    expect(output?.maxAbsDiff).toBeLessThan(1e-5)
  })

  it('counts NaN as equal to NaN, and infinity to infinity', async () => {
    const { state, verification } = await deploy(notANumber, stagesOf(notANumber, [1]))
    expect([state, verification?.outcome]).toEqual(['ready', 'equal'])
    expect(verification?.comparisons[0]?.outputs[0]).toMatchObject({ compared: 'values', maxAbsDiff: 0 })
  })

  it('runs the whole model where a deployment holds it already, and leaves it there', async () => {
    await deploy(good, [{ resource: 'edge', from: 0, to: 3 }], { name: 'native' })
    const { verification } = await deploy(good, stagesOf(good, [1]))
    expect(verification?.against).toBe('edge')
    await nothingElseHeld(['good:0-0', 'good:0-1'], ['good:0-3', 'good:1-3'], [])
  })

  it('goes through direct answers too', async () => {
    const { state, verification } = await deploy(good, stagesOf(good, [1, 2]), { answer: 'direct' })
    expect([state, verification?.outcome]).toEqual(['ready', 'equal'])
  })

  it('is not counted among the requests of clients, nor listed while it is verified', async () => {
    const statistics = async (tier: string) =>
      (await call('GET', `${services.urlOf(tier)}/v2/models/stats`)).body.toString()
    await deploy(good, stagesOf(good, [1]))
    for (const tier of TIERS)
      expect(await statistics(tier)).not.toMatch(/verification|"inference_count":[1-9]/)
    for (const tier of TIERS)
      expect((await call('GET', `${services.urlOf(tier)}/metrics`)).body.toString()).not.toMatch(
        /scission_inference_requests_total\{/,
      )
  })
})

describe('a deployment whose split gives something else', () => {
  it('fails, and says which output, by how much, and at which cut', async () => {
    const record = await deploy(seamed, stagesOf(seamed, [1, 2]))
    expect(record.state).toBe('failed')
    expect(record.error).toMatch(
      /whole model gives on cloud.*output "y" is off by up to 5\.00e-1.*allowed 1\.0e-5.*cut at boundary 1, before layer "b"/,
    )
    expect(record.error).not.toContain('boundary 2')
    expect(record.verification).toMatchObject({
      outcome: 'different',
      comparisons: [{ equal: false, outputs: [{ output: 'y', equal: false, tolerance: 1e-5 }] }],
    })
    expect(record.verification?.comparisons[0]?.outputs[0]?.maxAbsDiff).toBeCloseTo(0.5, 5)
    await nothingElseHeld([], [], [])
  })

  it('fails for one whole number and one word, however large or small the difference', async () => {
    const record = await deploy(exact, stagesOf(exact, [1]))
    expect(record.state).toBe('failed')
    expect(record.verification?.comparisons[0]?.outputs).toMatchObject([
      { output: 'y', equal: false, maxAbsDiff: 1, tolerance: 0 },
      { output: 'word', equal: false, maxAbsDiff: null },
    ])
    expect(record.error).toMatch(/"y" is off by up to 1.*"word" has values that are not equal/)
  })

  it('is ready all the same with verify: false, and its record says that it was not verified', async () => {
    const record = await deploy(seamed, stagesOf(seamed, [1]), { verify: false })
    expect(record).toMatchObject({ state: 'ready', verify: false, verification: { outcome: 'off' } })
  })
})

describe('a deployment of which not everything can be compared', () => {
  it('compares only types and shapes of what is random, and says so', async () => {
    const { state, verification } = await deploy(random, stagesOf(random, [1]))
    expect([state, verification?.outcome]).toEqual(['ready', 'equal'])
    expect(verification?.comparisons[0]?.outputs[0]).toMatchObject({
      compared: 'shapes',
      equal: true,
      note: expect.stringMatching(/two runs of the whole model differ/) as string,
    })
  })

  it('is ready if the whole model does not run with the input either, and says why', async () => {
    const { state, verification } = await deploy(failing, stagesOf(failing, [1]))
    expect(state).toBe('ready')
    expect(verification).toMatchObject({ outcome: 'impossible', comparisons: [] })
    expect(verification?.reason).toMatch(/cloud:.*device:/)
  })

  it('is ready if no resource can hold the whole model, and says why', async () => {
    const { state, verification } = await deploy(heavy, stagesOf(heavy, [1]))
    expect([state, verification?.outcome]).toEqual(['ready', 'impossible'])
    expect(verification?.reason).toMatch(
      /no resource could run the whole model.*cloud:.*1200 bytes of weights, SCISSION_STAGE_BYTES=/,
    )
    await nothingElseHeld(['heavy:0-1'], ['heavy:1-2'], [])
  })
})

describe('a deployment with codecs', () => {
  const calibrate = (relativeErrorBound: number, toy = good) => {
    const cell = {
      boundary: 1,
      codec: 'q8',
      bytesRatio: 0.25,
      top1Agreement: 1,
      top1Bounds: { low: 0, high: 1 },
      relativeError: relativeErrorBound,
      lossBound: 0,
      lossMedian: 0,
      samples: 4,
    } as const
    const { model, structure } = toy
    const about = { model: model.id, shapesKey: structure.shapesKey, state: 'completed' as const }
    return services.state.calibrations.put(
      'one',
      exampleCalibration('one', { ...about, cells: [{ ...cell, relativeErrorBound }] }),
    )
  }

  it('is compared without what loses something, then as planned, within what was calibrated', async () => {
    await calibrate(0.01)
    const stages = stagesOf(good, [1], 'q8')
    const { state, verification } = await deploy(good, stages)
    expect([state, verification?.outcome]).toEqual(['ready', 'equal'])
    const [without, planned] = verification?.comparisons ?? []
    expect(without).toMatchObject({ path: 'exact', measure: 'relativeDiff', outputs: [{ maxAbsDiff: 0 }] })
    expect(planned).toMatchObject({
      path: 'planned',
      measure: 'relativeError',
      basis: expect.stringContaining('q8 at boundary 1') as string,
      outputs: [{ tolerance: 0.04 + 1e-5 }],
    })
    expect(planned?.outputs[0]?.relativeError).toBeGreaterThan(1e-4)
  })

  it('fails if it loses more than was calibrated', async () => {
    await calibrate(1e-6)
    const { state, error, verification } = await deploy(good, stagesOf(good, [1], 'q8'))
    expect(state).toBe('failed')
    expect(error).toMatch(/the split does not give.*relativeError/)
    expect(verification?.comparisons.map(({ path, equal }) => [path, equal])).toEqual([
      ['exact', true],
      ['planned', false],
    ])
  })

  it('with a codec that loses nothing is held to the same as without', async () => {
    const cells = [
      {
        boundary: 1,
        codec: 'zstd',
        bytesRatio: 1,
        top1Agreement: 1,
        top1Bounds: { low: 0, high: 1 },
        relativeError: 0,
        relativeErrorBound: 0,
        lossBound: 0,
        lossMedian: 0,
        samples: 4,
      },
    ] as const
    const about = { model: good.model.id, shapesKey: good.structure.shapesKey, state: 'completed' as const }
    await services.state.calibrations.put('one', exampleCalibration('one', { ...about, cells: [...cells] }))
    const { verification } = await deploy(good, stagesOf(good, [1], 'zstd'))
    expect(verification?.comparisons).toMatchObject([
      { path: 'planned', measure: 'relativeDiff', equal: true },
    ])
  })
})

describe('while it is verified', () => {
  it('the record and its events say what is being done', async () => {
    const go = services.engineOf('cloud').hold()
    const id = await begin(good, stagesOf(good, [1]))
    await eventually(async () =>
      expect((await services.state.deployments.get(id))?.progress).toEqual({
        step: 'verifying: running the whole model on cloud',
        fraction: 0.1,
      }),
    )
    go()
    expect((await ended(id)).state).toBe('ready')
  })

  it('it can be deleted: no resource holds anything of it then', async () => {
    const go = services.engineOf('cloud').hold()
    const id = await begin(good, stagesOf(good, [1]))
    await eventually(() => expect(services.engineOf('cloud').loaded()).toContain('good:0-3'))
    expect((await undeploy(id)).status).toBe(204)
    go()
    await nothingElseHeld([], [], [])
    expect(await services.state.deployments.get(id)).toBeUndefined()
  })

  it('a planner that starts again takes it up', async () => {
    const go = services.engineOf('cloud').hold()
    const id = await begin(good, stagesOf(good, [1]))
    await eventually(() => expect(services.engineOf('cloud').loaded()).toContain('good:0-3'))
    await planner.close()
    expect((await services.state.deployments.get(id))?.state).toBe('loading')
    go()
    planner = await startPlanner(services.redisUrl)
    expect(await ended(id)).toMatchObject({ state: 'ready', verification: { outcome: 'equal' } })
    await nothingElseHeld(['good:0-1'], ['good:1-3'], [])
  })

  it('two planners that both work on it come to one end', async () => {
    const go = services.engineOf('cloud').hold()
    const id = await begin(good, stagesOf(good, [1]))
    const other = await startPlanner(services.redisUrl)
    try {
      await eventually(() => expect(services.engineOf('cloud').runs.length).toBeGreaterThan(1))
      go()
      expect((await ended(id)).state).toBe('ready')
      await nothingElseHeld(['good:0-1'], ['good:1-3'], [])
      expect((await services.state.deployments.get(id))?.state).toBe('ready')
    } finally {
      await other.close()
    }
  })

  it('a resource that is lost makes it fail, though another could stand in for clients', async () => {
    const go = services.engineOf('cloud').hold()
    const id = await begin(good, stagesOf(good, [1]), { fallback: 'native' })
    await eventually(() => expect(services.engineOf('cloud').loaded()).toContain('good:0-3'))
    await services.stop('edge')
    go()
    const record = await ended(id)
    await services.start('edge', { SCISSION_STAGE_BYTES: '1000', SCISSION_MAX_BATCH: '1' })
    expect(record.state).toBe('failed')
    expect(record.error).toMatch(/could not be verified: .*edge.*verify: false/)
    expect(record.verification).toBeUndefined()
  })
})
