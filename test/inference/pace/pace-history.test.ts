import { describe, expect, it } from 'vitest'
import { PaceHistory, type PaceSample, spreadOf } from '../../../services/inference/pace/pace-history.ts'
import { UniformStream } from '../../../shared/zoo/random.ts'

const SECOND = 1000

const sample = (atMs: number, more: Partial<PaceSample> = {}): PaceSample => ({
  atMs,
  source: 'idle',
  cpuMs: 1,
  waiting: 1,
  otherCores: 0,
  ...more,
})

/** Numbers in [0, 1), always the same. */
function randoms(seed: string, count: number): Float32Array {
  const values = new Float32Array(count)
  new UniformStream(seed).drawInto(values, 0, 1)
  return values
}

/** A machine with two states that it changes between, as a neighbour comes and goes: one time per second. */
function twoStates(seed: string, seconds: number): number[] {
  const draws = randoms(seed, 2 * seconds)
  let slow = false
  return Array.from({ length: seconds }, (_, at) => {
    if ((draws[2 * at] ?? 0) < 0.12) slow = !slow
    return (slow ? 9 : 6.5) * (1 + 0.06 * ((draws[2 * at + 1] ?? 0) - 0.5))
  })
}

const timed = (values: readonly number[], everyMs = SECOND) =>
  values.map((ms, at) => ({ atMs: at * everyMs, ms }))

const within = (value: number, low: number, high: number) => value >= low && value <= high

describe('the spread of a time', () => {
  it.each([60, 180])('of %i s holds 90 %% of the requests of the next minute, and its median', (seconds) => {
    let requests = 0
    let inside = 0
    let medians = 0
    const runs = 60
    for (let run = 0; run < runs; run++) {
      const values = twoStates(`run ${run}`, seconds + 60)
      const spread = spreadOf(timed(values.slice(0, seconds)))
      const next = values.slice(seconds)
      requests += next.length
      inside += next.filter((ms) => within(ms, spread.low, spread.high)).length
      const middle = next.toSorted((a, b) => a - b)[30] ?? 0
      if (within(middle, spread.medianLow, spread.medianHigh)) medians += 1
    }
    expect(inside / requests).toBeGreaterThan(0.9)
    expect(medians / runs).toBeGreaterThan(0.9)
  })

  it('is narrow on a machine that keeps its pace, once it was watched for a while', () => {
    const steady = Array.from(randoms('steady', 60), (draw) => 10 * (1 + 0.01 * (draw - 0.5)))
    const { low, high, medianLow, medianHigh } = spreadOf(timed(steady))
    expect(high - low).toBeLessThan(1)
    expect(medianHigh - medianLow).toBeLessThan(0.9)
  })

  it('is wider after a burst of the same values than after a minute of them: a burst is one state of the machine', () => {
    const values = Array.from(randoms('burst', 40), (draw) => 10 + draw)
    const burst = spreadOf(timed(values, 50))
    const spread = spreadOf(timed(values, 1500))
    expect(burst.high - burst.low).toBeGreaterThan(1.5 * (spread.high - spread.low))
    expect(burst.medianHigh - burst.medianLow).toBeGreaterThan(2 * (spread.medianHigh - spread.medianLow))
  })

  it('never reaches nothing, however few and wild the samples are, and holds its own median', () => {
    for (const values of [[5], [1, 100], [0.001, 3, 900]]) {
      const { low, high, median, medianLow, medianHigh } = spreadOf(timed(values))
      expect(low).toBeGreaterThan(0)
      expect([low <= medianLow, medianLow <= median, median <= medianHigh, medianHigh <= high]).toEqual(
        Array(4).fill(true),
      )
    }
  })
})

describe('the history of a pace', () => {
  it('says nothing before the first sample', () => {
    expect(new PaceHistory(1).figures(0)).toBeUndefined()
  })

  it('forgets within minutes what the machine was, and keeps for an hour what a load does', () => {
    const history = new PaceHistory(1)
    for (let at = 0; at < 60; at++) history.add(sample(at * SECOND, { cpuMs: 1, otherCores: 1, waiting: 2 }))
    for (let at = 600; at < 660; at++) history.add(sample(at * SECOND, { cpuMs: 3 }))
    const figures = history.figures(660 * SECOND)
    expect(figures?.cpuMs.median).toBe(3)
    expect(figures?.otherCores).toBe(0)
    expect(figures?.byLoad.map(({ otherCores, requestMs }) => [otherCores, requestMs.median])).toEqual([
      [0, 3],
      [1, 2],
    ])
    const later = history.figures(4000 * SECOND)
    expect(later).toBeUndefined()
  })

  it('speaks of the load of now: samples under another load do not count', () => {
    const history = new PaceHistory(1)
    for (let at = 0; at < 30; at++) history.add(sample(at * SECOND))
    for (let at = 30; at < 40; at++) history.add(sample(at * SECOND, { otherCores: 2, waiting: 3 }))
    const figures = history.figures(40 * SECOND)
    expect(figures?.requestMs.median).toBe(3)
    expect(figures?.samples).toEqual({ idle: 10, served: 0 })
  })

  it('is that of served stages once there are enough of them: the small network moves more than a stage', () => {
    const history = new PaceHistory(1)
    const add = (at: number) => {
      history.add(sample(at * SECOND, { cpuMs: at % 2 ? 1 : 2 }))
      history.add(sample(at * SECOND + 100, { cpuMs: 1.4, source: 'served' }))
    }
    for (let at = 0; at < 39; at++) add(at)
    expect(history.figures(39 * SECOND)?.samples).toEqual({ idle: 39, served: 39 })
    expect(history.figures(39 * SECOND)?.cpuMs.high).toBeGreaterThan(2)
    add(39)
    expect(history.figures(40 * SECOND)?.samples).toEqual({ idle: 0, served: 40 })
    expect(history.figures(40 * SECOND)?.cpuMs.high).toBeLessThan(1.5)
    // They are of the last minutes.
    for (let at = 200; at < 230; at++) history.add(sample(at * SECOND))
    expect(history.figures(230 * SECOND)?.samples.served).toBe(0)
  })

  it('is not that of a burst of served stages', () => {
    const history = new PaceHistory(1)
    for (let at = 0; at < 30; at++) history.add(sample(at * SECOND))
    for (let at = 0; at < 50; at++) history.add(sample(31 * SECOND + at * 200, { source: 'served' }))
    expect(history.figures(42 * SECOND)?.samples).toEqual({ idle: 30, served: 50 })
  })

  it('counts all of the last minutes while the load of now is hardly known', () => {
    const history = new PaceHistory(1)
    for (let at = 0; at < 30; at++) history.add(sample(at * SECOND, { cpuMs: 1 }))
    history.add(sample(30 * SECOND, { cpuMs: 5, otherCores: 2 }))
    const figures = history.figures(30 * SECOND)
    expect(figures?.samples.idle).toBe(31)
    expect(figures?.spanMs).toBe(30 * SECOND)
  })

  it('waits for others as measured, and for a slower machine as emulated, which others do not lengthen', () => {
    const history = new PaceHistory(4)
    for (let at = 0; at < 20; at++) history.add(sample(at * SECOND, { cpuMs: 2, waiting: 3 }))
    // 2 ms of CPU time that take 6, and three times 2 ms of emulation: 12 ms, of a machine that is four times slower.
    expect(history.figures(20 * SECOND)?.requestMs.median).toBe(3)
  })

  it('takes the usual waiting for a run that a quota stopped', () => {
    const history = new PaceHistory(1)
    for (let at = 0; at < 10; at++) history.add(sample(at * SECOND, { waiting: at % 2 ? undefined : 1.5 }))
    const { requestMs } = history.figures(10 * SECOND) ?? {}
    expect(requestMs?.median).toBe(1.5)
  })

  it('does not grow without end', () => {
    const history = new PaceHistory(1)
    for (let at = 0; at < 10_000; at++) history.add(sample(at * 10, { source: 'served' }))
    const { samples, byLoad } = history.figures(100_000) ?? {}
    expect(samples?.served).toBeLessThanOrEqual(3000)
    expect(byLoad?.[0]?.samples).toBeLessThanOrEqual(3000)
  })
})
