/** Progress of a measurement. */
import { describe, expect, it } from 'vitest'
import fc from 'fast-check'
import type { BenchmarkProgress } from '../../../../shared/contracts/profile.ts'
import {
  type OptionalStep,
  type Step,
  Steps,
} from '../../../../services/inference/jobs/profiler/measuring-steps.ts'

const ALL: readonly Step[] = ['load', 'warm up', 'profile', 'measure', 'copies', 'check', 'codecs']

/** @returns what is reported when each step is begun, and once more after all ticks of the last. */
function reported(
  made: readonly Step[],
  ticks: number,
  without: readonly OptionalStep[] = [],
): BenchmarkProgress[] {
  const seen: BenchmarkProgress[] = []
  const steps = new Steps((progress) => seen.push(progress), without)
  for (const step of made) {
    steps.begin(step, 4)
    for (let tick = 0; tick < ticks; tick += 1) steps.tick()
  }
  return seen
}
const fractions = (seen: readonly BenchmarkProgress[]) => seen.map(({ fraction }) => fraction)

describe('progress of a measurement', () => {
  it('never goes back and ends below 1, whichever steps are left out, made again or cut short', () => {
    const left = fc.subarray<OptionalStep>(['copies', 'codecs'])
    fc.assert(
      fc.property(left, fc.nat({ max: 6 }), fc.boolean(), (without, ticks, again) => {
        const planned = ALL.filter((step) => !(without as readonly Step[]).includes(step))
        const made = planned.flatMap((step) => (again && step === 'check' ? [step, step] : [step]))
        const seen = fractions(reported(made, ticks, without))
        expect(seen[0]).toBe(0)
        for (const [at, fraction] of seen.entries()) {
          expect(fraction).toBeGreaterThanOrEqual(seen[at - 1] ?? 0)
          expect(fraction).toBeLessThan(1)
        }
      }),
    )
  })

  it('moves on in a check that is made again, even if it is the last step', () => {
    const without = ['codecs', 'copies'] as const
    const made: Step[] = ['load', 'warm up', 'profile', 'measure', 'check', 'check', 'check']
    const [first = 0, second = 0, third = 0] = fractions(reported(made, 4, without)).slice(-3)
    expect(second).toBeGreaterThan(first)
    expect(third).toBeGreaterThan(second)
  })

  it('leaves steps that are not made no part of the whole', () => {
    const [, after = 0] = fractions(reported(['load', 'warm up'], 1, ['copies', 'codecs']))
    const [, afterAll = 0] = fractions(reported(['load', 'warm up'], 1))
    expect(after).toBeGreaterThan(afterAll)
  })

  it('says that all is done only at the end', () => {
    const seen: BenchmarkProgress[] = []
    const steps = new Steps((progress) => seen.push(progress))
    for (const step of ALL) steps.begin(step, 1)
    expect(seen.map(({ step }) => step)).toEqual(ALL)
    steps.finish()
    expect(seen.at(-1)).toEqual({ fraction: 1, step: 'done', remainingMs: 0 })
  })
})
