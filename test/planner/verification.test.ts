/** Deployments become ready once the split gave what the whole model gives. */
import { describe, expect, it } from 'vitest'
import { call } from '../inference/support/service.ts'
import { layer, toyModel, toySpec } from '../inference/support/toy-models.ts'
import { line, SHAPE, stagesOf, TIERS, useVerification } from './verified-deployments.ts'

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
const { services, deploy, nothingElseHeld } = useVerification(toys)

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
