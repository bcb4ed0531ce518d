/** Deployments whose plan has codecs are verified without what loses something, then as planned. */
import { describe, expect, it } from 'vitest'
import { exampleCalibration } from '../support/fixtures.ts'
import { line, stagesOf, useVerification } from './verified-deployments.ts'

const good = line('1', 'good')
const { services, deploy } = useVerification([good])

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
