import type { InferenceSession } from 'onnxruntime-node'
import { describe, expect, it } from 'vitest'
import type { CutModel } from '../../../../services/inference/jobs/profiler/cut-model.ts'
import {
  anotherCheck,
  type CutRuns,
  cutsInTime,
  type RunCut,
} from '../../../../services/inference/jobs/profiler/cuts-in-time.ts'
import type { Whole } from '../../../../services/inference/jobs/profiler/measure-whole.ts'
import { Steps } from '../../../../services/inference/jobs/profiler/measuring-steps.ts'
import type { PacedRuns } from '../../../../services/inference/jobs/profiler/paced-runs.ts'
import { Runner } from '../../../../services/inference/jobs/profiler/timed-runs.ts'
import { exampleStructure } from '../../../support/fixtures.ts'

/** Cuts of the example: 1, 2 and 3. */
const structure = exampleStructure()
const session = { inputNames: [], run: async () => ({}), release: async () => undefined }

/** @param wholeMs a run of the whole model, by what was measured before. */
function runsOf(wholeMs: number) {
  const opened: string[] = []
  const open = async (from: number, to: number) => {
    opened.push(`${from}-${to}`)
    return session as unknown as InferenceSession
  }
  const whole = { session, createMs: 1, samples: [{ wallMs: wholeMs, cpuMs: wholeMs }] }
  const run: CutRuns = {
    model: { structure, session: open } as unknown as CutModel,
    feeds: {},
    runner: new Runner(1),
    whole: whole as unknown as Whole,
    steps: new Steps(() => undefined),
    startedAt: performance.now(),
    paced: { sample: async () => undefined } as unknown as PacedRuns,
    options: { threads: 1, optimisation: 'all' },
  }
  return { run, opened }
}

const cut = (k: number, role: RunCut['role']): RunCut => ({ k, role, ratios: [], wholesMs: [50] })

describe('the cuts that there is time for', () => {
  it('are all if runs are quick, and one check at least', async () => {
    const shares = [1, 1, 1, 1]
    const quick = await cutsInTime(runsOf(1).run, shares)
    expect(quick.map(({ k }) => k).sort((a, b) => a - b)).toEqual([1, 2, 3])
    const late = runsOf(40)
    late.run.startedAt -= 60_000
    expect((await cutsInTime(late.run, shares)).map(({ role }) => role)).toEqual(['check'])
  })

  it('are one more where the only check was predicted badly, not at an anchor', async () => {
    const { run, opened } = runsOf(50)
    const [other, ...more] = await anotherCheck(run, [cut(1, 'check')])
    expect(more).toEqual([])
    expect(other?.role).toBe('check')
    expect([2, 3]).toContain(other?.k)
    expect(opened).toEqual([`0-${other?.k}`, `${other?.k}-4`])
    expect((await anotherCheck(run, [cut(1, 'check'), cut(3, 'anchor')])).map(({ k }) => k)).toEqual([2])
  })

  it('stay as they are after several checks, or without another cut', async () => {
    const { run, opened } = runsOf(50)
    expect(await anotherCheck(run, [cut(1, 'check'), cut(2, 'check')])).toEqual([])
    expect(await anotherCheck(run, [cut(1, 'check'), cut(2, 'anchor'), cut(3, 'anchor')])).toEqual([])
    expect(await anotherCheck(run, [])).toEqual([])
    expect(opened).toEqual([])
  })
})
