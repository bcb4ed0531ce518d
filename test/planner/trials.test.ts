/** Runs of trial deployments: again where a resource is away for a moment, and nothing is left behind. */
import { describe, expect, it } from 'vitest'
import { Trials } from '../../services/planner/verification/trials.ts'
import { type ErrorCode, ScissionError } from '../../shared/platform/errors.ts'
import { exampleDeployment, hop } from '../support/fixtures.ts'

const trial = exampleDeployment('trial', [hop('device', 0, 2), hop('edge', 2, 4)])

/** Resources of which the edge fails so many times. */
function resources(code: ErrorCode, failures: number) {
  const calls: string[] = []
  let left = failures
  return {
    calls,
    tell: async (resource: string) => {
      calls.push(`tell ${resource}`)
      if (resource === 'edge' && left-- > 0) throw new ScissionError(code, 'not now')
    },
    run: async () => {
      calls.push('run')
      return []
    },
    letGo: async ([resource]: readonly string[]) => {
      calls.push(`let go ${resource}`)
    },
  }
}

describe('a trial', () => {
  it('is run again if a resource could not be reached, and in the end each resource lets go of it once', async () => {
    const calls = resources('peerUnavailable', 1)
    const trials = new Trials(calls, 1000, new AbortController().signal)
    expect(await trials.runPatiently(trial, [])).toEqual([])
    await trials.end()
    expect(calls.calls.slice(0, 5)).toEqual(['tell device', 'tell edge', 'tell device', 'tell edge', 'run'])
    expect(calls.calls.slice(5).toSorted()).toEqual(['let go device', 'let go edge'])
  })

  it('is not run again for a fault of the model, nor more than three times', async () => {
    const model = resources('invalidModel', 1)
    await expect(
      new Trials(model, 1000, new AbortController().signal).runPatiently(trial, []),
    ).rejects.toMatchObject({ code: 'invalidModel' })
    expect(model.calls).toEqual(['tell device', 'tell edge'])
    const away = resources('overloaded', 5)
    await expect(
      new Trials(away, 1000, new AbortController().signal).runPatiently(trial, []),
    ).rejects.toMatchObject({ code: 'overloaded' })
    expect(away.calls.filter((call) => call === 'tell edge')).toHaveLength(3)
  })

  it('ends its pause when nobody wants it any more', async () => {
    const stop = new AbortController()
    const calls = resources('notReady', 5)
    const running = new Trials(calls, 1000, stop.signal).runPatiently(trial, [])
    setTimeout(() => stop.abort(), 50)
    await expect(running).rejects.toMatchObject({ code: 'cancelled' })
    expect(calls.calls).toEqual(['tell device', 'tell edge'])
  })
})
