import { describe, expect, it } from 'vitest'
import { Predictions } from '../../../services/inference/forwarding/predictions.ts'
import type { Deployment } from '../../../shared/contracts/plan.ts'
import { exampleDeployment, hop } from '../../support/fixtures.ts'

const PLANNED = { predictedMs: 50, typicalInterval: { lowMs: 40, highMs: 60 } }

function watch(changes: Partial<Deployment> = PLANNED) {
  let now = 0
  let held = true
  const calls: string[] = []
  const predictions = new Predictions({
    conditions: {
      begin: ({ message }) => {
        calls.push(message)
        return 'the condition'
      },
      end: (id, why) => calls.push(`${id}: ${why}`),
    },
    isHeld: () => held,
    now: () => now,
  })
  const record = exampleDeployment('d', [hop('device', 0, 1), hop('edge', 1, 3)], changes)
  /** Answers for so many seconds, two a second. */
  const answers = (tookMs: number, seconds: number, of = record) => {
    for (let i = 0; i < 2 * seconds; i += 1) {
      now += 500
      predictions.answered(of, tookMs)
    }
    return calls
  }
  return { answers, calls, record, release: () => (held = false) }
}

describe('a prediction', () => {
  it('that reality left for long is told once, and once that it holds again', () => {
    const { answers } = watch()
    expect(answers(50, 100)).toEqual([])
    expect(answers(100, 20)).toEqual([])
    const [message] = answers(100, 600)
    expect(message).toMatch(/^deployment d takes 100 ms, its plan says 40.0 to 60.0 ms/)
    expect(answers(100, 600)).toHaveLength(1)
    expect(answers(50, 20)).toHaveLength(1)
    expect(answers(50, 600)).toEqual([message, 'the condition: it takes 50.0 ms again'])
  })

  it('that is too high is left, too', () => {
    expect(watch().answers(10, 100)).toHaveLength(1)
  })

  it('is not left by single answers, nor by a moment', () => {
    const { answers, calls } = watch()
    for (let round = 0; round < 50; round += 1) {
      answers(50, 2)
      answers(5000, 1)
    }
    answers(50, 60)
    answers(500, 15)
    answers(50, 60)
    expect(calls).toEqual([])
  })

  it('is neither left nor back between the bounds of both', () => {
    const { answers, calls } = watch()
    answers(70, 600)
    expect(calls).toEqual([])
    answers(100, 100)
    answers(70, 600)
    expect(calls).toHaveLength(1)
  })

  it('is not judged without an interval, for a range of shapes, or for a verification', () => {
    const odd: Partial<Deployment>[] = [
      { predictedMs: 50 },
      { ...PLANNED, shapes: { x: ['1..8'] } },
      { ...PLANNED, verifies: 'other' },
    ]
    for (const changes of odd) expect(watch(changes).answers(5000, 200)).toEqual([])
  })

  it('of a released deployment is no longer judged', () => {
    const { answers, release } = watch()
    release()
    expect(answers(5000, 200)).toEqual([])
  })
})
