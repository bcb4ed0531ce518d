import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { readEvents } from '../../../../services/inference/jobs/profiler/profiler-output.ts'
import {
  layerSpread,
  layerTimes,
  nodesInNames,
  placeNodes,
} from '../../../../services/inference/jobs/profiler/layer-times.ts'
import type { Layer } from '../../../../shared/contracts/model.ts'
import { spec } from '../../tiny-models.ts'

const layers: Layer[] = [0, 1, 2].map((index) => ({
  index,
  name: `l${index}`,
  op: 'Relu',
  inputs: [index === 0 ? 'x' : `t${index - 1}`],
  outputs: [spec(`t${index}`, 'FP32', [1])],
  weightBytes: 0,
  macs: null,
}))
const placement = placeNodes(layers, [])
const time = (name: string, ms: number) => ({ name, op: 'Relu', ms })
const kernel = (name: string, ts: number, dur: number, op = 'Relu') => ({
  cat: 'Node',
  name: `${name}_kernel_time`,
  ts,
  dur,
  args: { op_name: op },
})

describe('layer times', () => {
  it('take shares from the profiler and the scale from the unprofiled whole', () => {
    const { layerMs, unmappedShare } = layerTimes(placement, [time('L0', 1), time('L2', 3)], 8)
    expect(layerMs).toEqual([2, 0, 6])
    expect(unmappedShare).toBe(0)
  })

  it('spread what fits no layer over the others, and say how much it was', () => {
    const { layerMs, unmappedShare } = layerTimes(placement, [time('L0', 1), time('L1', 2), time('?', 1)], 6)
    expect(layerMs).toEqual([2, 4, 0])
    expect(unmappedShare).toBe(0.25)
  })

  it('need no optimised graph where names tell the layers of nearly all the time', () => {
    // The middle one is fused into the last, which is called after what it makes.
    const told = [time('L0', 1), time('t2_nchwc', 3), time('ReorderOutput', 0.03)]
    const nodes = nodesInNames(layers, told)
    expect(nodes?.map(({ name }) => name)).toEqual(told.map(({ name }) => name))
    const { layerMs } = layerTimes(placeNodes(layers, nodes ?? []), told, 4)
    expect(layerMs[0]).toBeCloseTo(1)
    expect(nodesInNames(layers, [...told, time('?', 0.1)])).toBeUndefined()
  })

  it('are even when nothing fits', () => {
    const { layerMs, unmappedShare } = layerTimes(placement, [time('?', 1)], 6)
    expect(layerMs).toEqual([2, 2, 2])
    expect(unmappedShare).toBe(1)
  })

  it('have a spread: that of their share over the profiled runs', () => {
    const times = [
      { ...time('L0', 1), samplesMs: [1, 1.5] },
      { ...time('L2', 3), samplesMs: [3, 2.5] },
    ]
    const [first, second] = layerSpread([2, 0, 6], placement, times)
    expect(first).toMatchObject({ ms: 2, lowMs: 2 })
    expect(first?.highMs).toBeGreaterThan(2.8)
    expect(second).toEqual({ ms: 0, lowMs: 0, highMs: 0 })
  })

  it('always sum to the whole and are never negative', () => {
    const some = fc.array(
      fc.record({ at: fc.integer({ min: 0, max: 4 }), ms: fc.double({ min: 0, max: 1e4, noNaN: true }) }),
    )
    fc.assert(
      fc.property(some, fc.double({ min: 0.001, max: 1e5, noNaN: true }), (entries, whole) => {
        const times = entries.map(({ at, ms }) => time(at < 3 ? `L${at}` : '?', ms))
        const { layerMs } = layerTimes(placement, times, whole)
        expect(layerMs.reduce((sum, ms) => sum + ms, 0)).toBeCloseTo(whole, 6)
        expect(Math.min(...layerMs)).toBeGreaterThanOrEqual(-1e-9)
      }),
    )
  })
})

describe('the profiler’s events', () => {
  it('are refused when they are anything else', () => {
    expect(() => readEvents('{}', 1)).toThrow(/not a list of events/)
    expect(() => readEvents('[{"cat":"Node"}]', 1)).toThrow(/not a list of events/)
  })

  it('become one figure per node, in ms, without the runs that warmed up', () => {
    const events = [900, 40, 40, 40].flatMap((dur, run) => [
      kernel('a', run * 1000, dur),
      kernel('b', run * 1000 + 950, 2),
    ])
    expect(readEvents(JSON.stringify(events), 4, 1)).toEqual([
      { name: 'a', op: 'Relu', ms: 0.04, samplesMs: [0.04, 0.04, 0.04] },
      { name: 'b', op: 'Relu', ms: 0.002, samplesMs: [0.002, 0.002, 0.002] },
    ])
  })

  it('are read from the end of the last run that warmed up, where lines tell the runs apart', () => {
    const lines = [900, 40, 30].flatMap((dur, run) => [
      JSON.stringify(kernel('a', run * 1000, dur)),
      `{"cat" : "Session","dur" :${dur},"ts" :${run * 1000},"name" :"model_run","args" : {}}`,
    ])
    const broken = lines.with(0, '{"cut": "off')
    const expected = [{ name: 'a', op: 'Relu', ms: 0.03, samplesMs: [0.04, 0.03] }]
    expect(readEvents(`[\n${lines.join(',\n')}\n]`, 3, 1)).toEqual(expected)
    expect(readEvents(`[\n${broken.join(',\n')}\n]`, 3, 1)).toEqual(expected)
  })

  it('count the body of a loop once: as part of the loop', () => {
    const events = [kernel('loop', 100, 50, 'Loop'), kernel('body', 110, 20), kernel('after', 150, 5)]
    const session = { cat: 'Session', name: 'model_run', ts: 0, dur: 1000 }
    expect(readEvents(JSON.stringify([session, ...events]), 1).map(({ name }) => name)).toEqual([
      'loop',
      'after',
    ])
  })

  it('add up where several nodes share a name', () => {
    const events = [0, 1, 2].flatMap((run) => [kernel('a', run * 100, 10), kernel('a', run * 100 + 50, 10)])
    expect(readEvents(JSON.stringify(events), 3)).toEqual([
      { name: 'a', op: 'Relu', ms: 0.02, samplesMs: [0.02, 0.02, 0.02] },
    ])
  })
})
