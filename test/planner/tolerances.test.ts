/** What a verification allows, and what it makes of the differences that it finds. */
import { describe, expect, it } from 'vitest'
import { allowRandom, judgeOutputs } from '../../services/planner/verification/judge-outputs.ts'
import { exactRule, plannedRule } from '../../services/planner/verification/tolerances.ts'
import type { Datatype } from '../../shared/contracts/common.ts'
import type { Structure } from '../../shared/contracts/model.ts'
import type { Tensor } from '../../shared/contracts/tensor.ts'
import { tensorDifference } from '../../shared/tensors/tensor-difference.ts'
import { exampleCalibration, exampleDeployment, exampleStructure, hop } from '../support/fixtures.ts'

const split = exampleDeployment('split', [hop('device', 0, 2), hop('edge', 2, 4, { codec: 'q8' })])

/** The example with a tensor of this type at boundary 2, and with an output of that type. */
function structureWith(crossing: Datatype, output: Datatype): Structure {
  const structure = exampleStructure()
  const layers = structure.layers.map((one, index) =>
    index === 1 ? { ...one, outputs: one.outputs.map((spec) => ({ ...spec, datatype: crossing })) } : one,
  )
  return { ...structure, layers, outputs: structure.outputs.map((spec) => ({ ...spec, datatype: output })) }
}
const floats = (...values: number[]): Tensor => ({
  name: 'y',
  datatype: 'FP32',
  shape: [values.length],
  bytes: new Uint8Array(Float32Array.from(values).buffer),
})

describe('without lossy codecs', () => {
  it.each([
    ['FP32', 'FP32', 1e-5],
    ['FP32', 'FP64', 1e-5],
    ['FP16', 'FP32', 1e-3],
    ['FP32', 'FP16', 1e-3],
    ['BF16', 'FP16', 8e-3],
    ['FP16', 'INT64', 0],
    ['FP32', 'BYTES', 0],
  ] as const)('a cut through %s and an output of %s may differ by %f', (crossing, output, tolerance) => {
    const { tolerances, measure } = exactRule(structureWith(crossing, output), split)
    expect([measure, tolerances.get('y')]).toEqual(['relativeDiff', tolerance])
  })

  it('is relative to the largest element, but never to less than 1', () => {
    const rule = exactRule(exampleStructure(), split)
    const equal = (b: Tensor, a: Tensor) => judgeOutputs([b], [a], rule)[0]?.equal
    expect(equal(floats(1000, 1), floats(1000.005, 1))).toBe(true)
    expect(equal(floats(1000, 1), floats(1000.02, 1))).toBe(false)
    expect(equal(floats(0.001), floats(0.001_005))).toBe(true)
    expect(equal(floats(0.001), floats(0.001_02))).toBe(false)
  })
})

describe('with a lossy codec', () => {
  const cell = {
    boundary: 2,
    codec: 'q8' as const,
    bytesRatio: 0.25,
    lossBound: 0,
    lossMedian: 0,
    samples: 1,
    top1Agreement: 1,
    top1Bounds: { low: 0, high: 1 },
    relativeError: 0.001,
    relativeErrorBound: 0.001,
  }
  const calibration = (sampleSource: 'given' | 'made-up') =>
    exampleCalibration('one', { cells: [cell], sampleSource, state: 'completed' })

  it('may be further off where the calibration had samples of another kind', () => {
    const ruleFor = (source: 'given' | 'made-up') =>
      plannedRule(exampleStructure(), split, [calibration(source)], 'made-up')
    expect(ruleFor('made-up').tolerances.get('y')).toBeCloseTo(0.004 + 1e-5, 12)
    expect(ruleFor('given').tolerances.get('y')).toBeCloseTo(0.02 + 1e-5, 12)
    expect(ruleFor('given').basis).toContain('q8 at boundary 2')
  })

  it('is held to the best of its calibrations, which is the last one', () => {
    const worse = exampleCalibration('two', {
      cells: [{ ...cell, relativeErrorBound: 0.5 }],
      sampleSource: 'made-up',
      state: 'completed',
    })
    const rule = plannedRule(exampleStructure(), split, [worse, calibration('made-up')], 'made-up')
    expect(rule.tolerances.get('y')).toBeCloseTo(0.004 + 1e-5, 12)
  })

  it('is not judged if the calibration was deleted, and says so', () => {
    const rule = plannedRule(exampleStructure(), split, [], 'made-up')
    expect(judgeOutputs([floats(1)], [floats(3)], rule)).toMatchObject([
      {
        compared: 'values',
        equal: true,
        maxAbsDiff: 2,
        note: 'not judged: q8 at boundary 2 is not calibrated any more',
      },
    ])
  })

  it('holds no whole number to its value, but to its type and shape', () => {
    const rule = plannedRule(exampleStructure(), split, [calibration('given')], 'made-up')
    const bytes = (...values: number[]): Tensor => ({
      name: 'y',
      datatype: 'UINT8',
      shape: [values.length],
      bytes: Uint8Array.from(values),
    })
    expect(judgeOutputs([bytes(1, 2)], [bytes(1, 3)], rule)).toMatchObject([
      { compared: 'shapes', equal: true },
    ])
    expect(judgeOutputs([bytes(1, 2)], [bytes(1)], rule)).toMatchObject([
      { equal: false, note: 'is UINT8 [1], not UINT8 [2]' },
    ])
  })
})

describe('the difference of two tensors', () => {
  const differ = (b: number[], a: number[]) => tensorDifference(floats(...b), floats(...a))
  it('is none for NaN beside NaN and infinity beside infinity, and infinite for either beside a number', () => {
    expect(differ([Number.NaN, Infinity, -Infinity], [Number.NaN, Infinity, -Infinity]).maxAbsDiff).toBe(0)
    for (const odd of [Number.NaN, Infinity]) {
      expect(differ([odd], [1])).toMatchObject({ maxAbsDiff: Infinity, relativeError: Infinity })
      expect(differ([1], [odd])).toMatchObject({ maxAbsDiff: Infinity, relativeError: Infinity })
    }
    expect(differ([Infinity], [-Infinity]).maxAbsDiff).toBe(Infinity)
    expect(differ([3, 4], [3, 4.5])).toEqual({ maxAbsDiff: 0.5, maxAbs: 4, relativeError: 0.1 })
    expect(differ([], [])).toEqual({ maxAbsDiff: 0, maxAbs: 0, relativeError: 0 })
  })
})

describe('what differs between two runs of the whole model', () => {
  const off = { output: 'y', compared: 'values' as const, equal: false, maxAbsDiff: 1, tolerance: 0 }
  const form = { output: 'y', compared: 'shapes' as const, equal: false, note: 'is FP32 [2], not FP32 [3]' }

  it('is compared by type and shape only', () => {
    expect(allowRandom([off], [off])).toMatchObject([{ compared: 'shapes', equal: true }])
    expect(allowRandom([form], [off])).toEqual([form])
    expect(allowRandom([form], [form])).toMatchObject([{ compared: 'shapes', equal: true }])
    expect(allowRandom([{ ...form, note: 'is missing' }], [form])).toMatchObject([{ equal: false }])
  })

  it('excuses no other output, and none of a model that answers the same twice', () => {
    expect(allowRandom([off], [{ ...off, equal: true, maxAbsDiff: 0 }])).toEqual([off])
    expect(allowRandom([off], [{ ...off, output: 'z' }])).toEqual([off])
    const same = { ...off, equal: true, maxAbsDiff: 0 }
    expect(allowRandom([same], [off])).toEqual([same])
  })
})
