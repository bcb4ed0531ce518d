import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it } from 'vitest'
import type { Report, ServedPlan } from '../../infra/demo/report.ts'
import { servedText, steadinessText, verdictText, winnerText } from '../../infra/demo/story.ts'
import type { PaceOfPlan } from '../../shared/contracts/plan-pace.ts'

const plain = stripVTControlCharacters

const pace = (more: Partial<PaceOfPlan> = {}): PaceOfPlan => ({
  resource: 'edge',
  samples: 30,
  spanMs: 30_000,
  sinceProfile: 1,
  below: 0.03,
  above: 0.04,
  waiting: 1.01,
  ...more,
})

/** A served plan on these machines that took `measuredMs` and was predicted to take 90 to 110. */
function servedOn(resources: string[], measuredMs: number): ServedPlan {
  const stages = resources.map((resource, at) => ({ resource, from: at, to: at + 1 }))
  const samplesMs = [measuredMs, 100, 100]
  return {
    plan: {
      stages,
      transfers: [],
      native: resources.length === 1,
      interval: { lowMs: 90, highMs: 110 },
      emulated: false,
    },
    predictedMs: 100,
    measuredMs,
    samplesMs,
    inside: samplesMs.filter((ms) => ms >= 90 && ms <= 110).length,
    held: measuredMs >= 90 && measuredMs <= 110,
    maxAbsDiff: 0,
    maxAbsOutput: 1,
    agree: true,
  } as unknown as ServedPlan
}

describe('the line on the computer', () => {
  it('says quiet, unsteady, busy or throttled, with figures', () => {
    expect(plain(steadinessText([pace()]))).toBe('this computer is quiet: its own pace moves by −3 % to +4 %')
    expect(plain(steadinessText([pace(), pace({ above: 0.3 })]))).toBe(
      'this computer is unsteady: its own pace moves by −3 % to +30 %',
    )
    expect(plain(steadinessText([pace({ waiting: 1.5, otherCores: 1.2 })]))).toMatch(
      /^this computer is busy: other work on 1\.2 cores lengthens times by up to 50 %; its/,
    )
    expect(plain(steadinessText([pace({ stops: 10, quotaCores: 0.1 })]))).toMatch(
      /busy: a limit on its CPU time lengthens times by up to 910 %/,
    )
    expect(plain(steadinessText([pace({ stops: 2, otherCores: 0.5 })]))).toMatch(
      /busy: other work on 0\.5 cores and a limit on its CPU time lengthen times by up to/,
    )
    expect(plain(steadinessText([]))).toMatch(/not known/)
  })
})

describe('what was served', () => {
  it('marks each measured value inside or outside its interval', () => {
    const text = plain(servedText([servedOn(['device'], 100), servedOn(['cloud'], 150)]))
    expect(text).toMatch(/all on device.*inside, 3 of 3/)
    expect(text).toMatch(/all on cloud.*OUTSIDE, 2 of 3/)
  })

  it('tells by how much the split won, as measured', () => {
    const served = [servedOn(['device'], 200), servedOn(['cloud'], 300), servedOn(['device', 'edge'], 100)]
    expect(plain(winnerText(served))).toBe(
      'measured: the split device [0,1) → edge [1,2) took 100 ms, 2.00 times as quick as all on device (200 ms) and ' +
        '3.00 times as quick as all on cloud (300 ms)',
    )
  })

  it('does not call a split a win that took longer than a whole model', () => {
    const text = plain(winnerText([servedOn(['device'], 90), servedOn(['device', 'edge'], 100)]))
    expect(text).toMatch(/^here no split is quicker: all on device took 90(\.0)? ms/)
    expect(winnerText([servedOn(['device'], 90)])).toMatch(/no split and whole model/)
  })
})

describe('the last line', () => {
  const report = (held: number, ok = true) =>
    ({ ok, maxAbsDiff: 0, maxAbsOutput: 1, predictions: { held, of: 3 } }) as unknown as Report

  it('says that every step worked only if every prediction held', () => {
    expect(plain(verdictText(report(3)))).toMatch(
      /^every step worked; 3 of 3 plans took as long as predicted/,
    )
    expect(plain(verdictText(report(2)))).toMatch(/^1 of 3 plans did NOT take as long as predicted/)
    expect(plain(verdictText(report(3, false)))).toMatch(/differ/)
  })
})
