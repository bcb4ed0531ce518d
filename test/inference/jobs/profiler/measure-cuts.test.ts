import * as fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import {
  candidates,
  chooseCuts,
  farthest,
  MAX_CUTS,
} from '../../../../services/inference/jobs/profiler/measure-cuts.ts'
import { rangeMemory } from '../../../../services/inference/serving/models/range-memory.ts'
import { exampleStructure } from '../../../support/fixtures.ts'

const layerMs = Array.from({ length: 20 }, () => 1)
const inside = Array.from({ length: 19 }, (_, at) => at + 1)

describe('the cuts that are run', () => {
  it('are spread over the model’s time, one from each part, and the same every time', () => {
    const cuts = chooseCuts(inside, layerMs, 4, 'seed')
    expect(cuts).toEqual(chooseCuts(inside, layerMs, 4, 'seed'))
    expect(cuts.map(({ k }) => Math.floor(k / 5)).sort((a, b) => a - b)).toEqual([0, 1, 2, 3])
  })

  it('differ from model to model', () => {
    const chosen = ['a', 'b', 'c', 'd'].map((seed) => JSON.stringify(chooseCuts(inside, layerMs, 3, seed)))
    expect(new Set(chosen).size).toBeGreaterThan(1)
  })

  it('begin with a check: one alone tells the error, it does not hide it', () => {
    expect(chooseCuts(inside, layerMs, 1, 'seed').map(({ role }) => role)).toEqual(['check'])
    const roles = chooseCuts(inside, layerMs, MAX_CUTS, 'seed').map(({ role }) => role)
    expect(roles.filter((role) => role === 'check').length).toBeGreaterThanOrEqual(2)
  })

  it('are far from each other where one alone was predicted badly', () => {
    expect(farthest(inside, 3)).toBe(13)
    expect(farthest(inside, 13)).toBe(4)
    expect(farthest([4, 9], 9)).toBe(4)
    expect(farthest([4], 4)).toBeUndefined()
    fc.assert(
      fc.property(fc.uniqueArray(fc.nat(), { minLength: 2 }), fc.nat(), (cuts, at) => {
        const from = cuts.toSorted((a, b) => a - b)
        const k = from[at % from.length]!
        const other = farthest(from, k)!
        expect(from).toContain(other)
        expect(other).not.toBe(k)
        const apart = Math.abs(from.indexOf(other) - from.indexOf(k))
        expect(apart).toBeGreaterThanOrEqual(Math.floor(from.length / 2))
      }),
    )
  })

  it('are clean single-tensor boundaries where the model has any, else single ones that are allowed', () => {
    const structure = exampleStructure()
    expect(candidates(structure)).toEqual([1, 2, 3])
    const unclean = structure.boundaries.map((boundary) => ({ ...boundary, clean: boundary.k === 2 }))
    expect(candidates({ ...structure, boundaries: unclean })).toEqual([2])
    const none = structure.boundaries.map((boundary) => ({
      ...boundary,
      clean: false,
      allowed: boundary.k !== 1,
    }))
    expect(candidates({ ...structure, boundaries: none })).toEqual([2, 3])
  })
})

describe('the memory of a range', () => {
  const structure = exampleStructure()
  for (const layer of structure.layers) layer.weightBytes = 100 * (layer.index + 1)

  it('is its weights, and the most that is alive at once', () => {
    // Tensors 1000 → 400 → 40 → 4000 → 40 bytes.
    expect(rangeMemory(structure, 0, 4)).toEqual({ weightBytes: 1000, activationBytes: 4040 })
    expect(rangeMemory(structure, 0, 2)).toEqual({ weightBytes: 300, activationBytes: 1400 })
    expect(rangeMemory(structure, 2, 2)).toEqual({ weightBytes: 0, activationBytes: 0 })
  })
})
