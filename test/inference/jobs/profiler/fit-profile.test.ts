import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { copyMs } from '../../../../services/inference/jobs/profiler/copy-cost.ts'
import {
  fit,
  type FitInput,
  intervalOf,
  type MeasuredCut,
  predictionError,
  predictSplit,
} from '../../../../services/inference/jobs/profiler/fit-profile.ts'

const MB = 1e6
const copies = [
  { bytes: 0, ms: 0.02 },
  { bytes: MB, ms: 0.25 },
  { bytes: 4 * MB, ms: 1 },
]
const boundariesOf = (bytes: readonly number[]): FitInput['boundaries'] =>
  bytes.map((size, k) => ({ k, tensors: [`t${k}`], bytes: size, single: true, clean: true, allowed: true }))
const sum = (values: readonly number[]) => values.reduce((total, value) => total + value, 0)
/** Four layers of 10 ms; 1 MB crosses every boundary. */
const input = (anchors: MeasuredCut[] = []): FitInput => ({
  boundaries: boundariesOf([MB, MB, MB, MB, MB]),
  layerMs: [10, 10, 10, 10],
  copies,
  anchors,
})

describe('the fit', () => {
  it('keeps the scale, costs nothing at the model’s own ends, and something at every cut', () => {
    const { layerMs, enterMs, exitMs } = fit(input())
    expect(layerMs).toEqual([10, 10, 10, 10])
    expect([enterMs[0], exitMs[0], enterMs[4], exitMs[4]]).toEqual([0, 0, 0, 0])
    expect(Math.min(...exitMs.slice(1, -1), ...enterMs.slice(1, -1))).toBeGreaterThan(0.25)
  })

  it('costs more where more bytes cross', () => {
    const { exitMs } = fit({ ...input(), boundaries: boundariesOf([MB, 1000, MB, 4 * MB, MB]) })
    expect(exitMs[2]).toBeGreaterThan(exitMs[1] ?? 0)
    expect(exitMs[3]).toBeGreaterThan(2 * (exitMs[2] ?? 0))
  })

  it('learns from an anchor what splitting costs, also at the other cuts', () => {
    const dear = fit(input([{ k: 2, prefixMs: 22, suffixMs: 22 }]))
    const cheap = fit(input([{ k: 2, prefixMs: 20.2, suffixMs: 20.2 }]))
    expect(predictSplit(dear, 1).bothMs).toBeGreaterThan(predictSplit(cheap, 1).bothMs + 1)
    expect(predictSplit(dear, 2).bothMs).toBeLessThanOrEqual(44)
  })

  it('draws the sums up to an anchor half way to what its stages took', () => {
    const { layerMs, exitMs } = fit(input([{ k: 2, prefixMs: 25, suffixMs: 17 }]))
    // 25 and 17 leave 4 ms more in front of the boundary than the shares say, however the cost of the cut is split.
    expect(sum(layerMs.slice(0, 2))).toBeCloseTo(22, 6)
    expect(sum(layerMs)).toBeCloseTo(40, 9)
    expect(exitMs[2]).toBeGreaterThan(0)
  })

  it('never makes a layer or a boundary negative, and always sums to the whole, whatever the anchors say', () => {
    const ms = fc.double({ min: 0, max: 100, noNaN: true })
    const anchor = fc.record({ k: fc.integer({ min: 1, max: 4 }), prefixMs: ms, suffixMs: ms })
    fc.assert(
      fc.property(
        fc.array(ms, { minLength: 5, maxLength: 5 }),
        fc.array(anchor, { maxLength: 3 }),
        fc.array(fc.integer({ min: 0, max: 20 * MB }), { minLength: 6, maxLength: 6 }),
        (layers, anchors, bytes) => {
          const fitted = fit({ boundaries: boundariesOf(bytes), layerMs: layers, copies, anchors })
          expect(sum(fitted.layerMs)).toBeCloseTo(sum(layers), 6)
          expect(Math.min(...fitted.layerMs, ...fitted.enterMs, ...fitted.exitMs)).toBeGreaterThanOrEqual(
            -1e-9,
          )
        },
      ),
      { seed: 4, numRuns: 300 },
    )
  })
})

describe('the prediction error', () => {
  const fitted = fit(input())
  const measured = (k: number, factor: number): MeasuredCut => {
    const { bothMs, prefixMs } = predictSplit(fitted, k)
    return { k, prefixMs: prefixMs * factor, suffixMs: (bothMs - prefixMs) * factor }
  }

  it('is what the check cuts say, and fails past either threshold', () => {
    const near = predictionError(fitted, [measured(1, 1.01), measured(3, 0.98)])
    expect(near.ok).toBe(true)
    expect(near.maximum).toBeCloseTo(0.02 / 0.98, 3)
    expect(near.cuts.map(({ k }) => k)).toEqual([1, 3])
    expect(predictionError(fitted, [measured(1, 1.1), measured(2, 1.1)]).ok).toBe(false)
    expect(predictionError(fitted, [measured(1, 1), measured(2, 1), measured(3, 1.3)]).ok).toBe(false)
  })

  it('sees what is counted to the wrong stage, though both together take what was said', () => {
    const { bothMs, prefixMs } = predictSplit(fitted, 2)
    const shifted = { k: 2, prefixMs: prefixMs + 0.2 * bothMs, suffixMs: bothMs - prefixMs - 0.2 * bothMs }
    const error = predictionError(fitted, [shifted])
    expect(error).toMatchObject({ ok: false })
    expect(error.maximum).toBeCloseTo(0.2, 9)
    expect(error.cuts[0]?.predictedMs).toBeCloseTo(error.cuts[0]?.measuredMs ?? 0, 9)
  })

  it('widens the interval, and so do runs that differ and a busy machine', () => {
    const steady = [
      [10, 10],
      [10.01, 9.99],
    ]
    const narrow = intervalOf(steady, predictionError(fitted, [measured(1, 1)]))
    expect(narrow.relative).toBeGreaterThan(0.03)
    expect(intervalOf(steady, predictionError(fitted, [measured(1, 1.1)])).relative).toBeGreaterThan(
      narrow.relative + 0.05,
    )
    expect(intervalOf([[8, 12, 9, 11]], undefined).relative).toBeGreaterThan(narrow.relative)
    // Each burst is steady; between them the machine has become a tenth slower.
    const drifted = [
      [10, 10, 10],
      [11, 11, 11],
    ]
    expect(intervalOf(drifted, undefined).relative).toBeGreaterThan(
      intervalOf(steady, undefined).relative + 0.05,
    )
    expect(intervalOf(steady, undefined, 0.5).relative).toBeGreaterThan(
      1.5 * intervalOf(steady, undefined).relative,
    )
    expect(narrow.fixedMs).toBeGreaterThan(0)
  })
})

describe('the cost of a copy', () => {
  it('is a line between the measured points and goes on by the last slope', () => {
    expect(copyMs(copies, 0)).toBe(0.02)
    expect(copyMs(copies, MB / 2)).toBeCloseTo(0.135, 9)
    expect(copyMs(copies, MB)).toBeCloseTo(0.25, 9)
    expect(copyMs(copies, 8 * MB)).toBeCloseTo(2, 9)
    expect(copyMs([], MB)).toBe(0)
  })

  it('never falls where more bytes are copied', () => {
    const noisy = [
      { bytes: 1000, ms: 0.03 },
      { bytes: 2000, ms: 0.02 },
      { bytes: 4000, ms: 0.05 },
    ]
    expect(copyMs(noisy, 1500)).toBeGreaterThanOrEqual(copyMs(noisy, 1000))
  })
})
