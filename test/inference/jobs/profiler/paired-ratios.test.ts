import { describe, expect, it } from 'vitest'
import { medianRatio, scaleCuts } from '../../../../services/inference/jobs/profiler/paired-ratios.ts'

describe('paired runs', () => {
  it('give the stages on the scale of the whole, whatever the pace was in each round', () => {
    const ratios = [
      { prefix: 0.3, suffix: 0.8 },
      { prefix: 0.31, suffix: 0.79 },
      { prefix: 0.29, suffix: 0.81 },
    ]
    const [cut] = scaleCuts([{ k: 4, ratios, wholesMs: [10, 90, 10, 50] }], 20)
    expect(cut).toMatchObject({ k: 4, prefixMs: 6, suffixMs: 16 })
    expect(cut?.noise).toBeLessThan(0.02)
  })

  it('say how far off they may be, by the spread of all cuts together', () => {
    const steady = {
      k: 1,
      wholesMs: [],
      ratios: Array.from({ length: 4 }, () => ({ prefix: 0.5, suffix: 0.5 })),
    }
    const wild = {
      k: 2,
      wholesMs: [],
      ratios: [0.8, 1, 1.2, 1].map((both) => ({ prefix: both / 2, suffix: both / 2 })),
    }
    const [first, second] = scaleCuts([steady, wild], 1)
    expect(first?.noise).toBe(second?.noise)
    expect(first?.noise).toBeGreaterThan(0.1)
    expect(first?.noise).toBeLessThan(0.2)
  })

  it('are not made unsure by one run that was interrupted', () => {
    const { ratio, error } = medianRatio([1, 1.01, 0.99, 1, 30])
    expect(ratio).toBe(1)
    expect(error).toBeLessThan(0.02)
  })

  it('of one round alone say nothing about their spread, and do not fail', () => {
    expect(medianRatio([2])).toEqual({ ratio: 2, error: 0 })
  })
})
