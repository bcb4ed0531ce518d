import { describe, expect, it } from 'vitest'
import { Runner } from '../../../../services/inference/jobs/profiler/timed-runs.ts'

describe('the pause before a run', () => {
  it.each([
    ['a small model on this machine', 1, 1, 1],
    ['one of 10 ms', 1, 10, 2.5],
    ['a large one', 1, 100, 5],
    ['a machine slower by a little', 1.1, 10, 2.5],
    ['a machine 8 times slower, which waits 7 ms for each', 8, 10, 70],
    ['a large model, whose weights no cache holds anyway', 8, 300, 100],
  ])('is that of %s', (_what, slowdown, runMs, pauseMs) => {
    const runner = new Runner(1)
    expect(runner.pauseMs).toBe(1)
    runner.pauseAs(slowdown, runMs)
    expect(runner.pauseMs).toBeCloseTo(pauseMs, 9)
  })
})
