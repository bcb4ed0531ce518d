/** What stands below the table of plans: what one request of the best takes, and why. */
import { expect, it } from 'vitest'
import { plansText } from '../../infra/cli/plan-tables.ts'
import { optimise } from '../../shared/planning/index.ts'
import { FREE, threeTiers } from '../planning/problems.ts'

const answer = optimise(threeTiers(), FREE)

/** The text of the answer with a first plan that these move. */
const textWith = (what: string, requestMs: number) =>
  plansText({
    ...answer,
    plans: answer.plans.map((plan) => ({
      ...plan,
      predictedMs: 8.4,
      interval: { lowMs: 6.5, highMs: 10.1 },
      moves: [
        { what: 'idle', requestMs: 0.1, typicalMs: 0 },
        { what, requestMs, typicalMs: 0 },
      ],
    })),
  } as never)

it('names what moves the best plan most: a pace, a link or a quota', () => {
  const first = 'the first: 8.40 ms (6.50 ms – 10.1 ms for one request: what moves it most is'
  expect(textWith('10.0.0.7', 1.6)).toContain(`${first} the pace of 10.0.0.7, ± 1.60 ms)`)
  expect(textWith('127.0.0.1', 1.6)).toContain(
    `${first} the pace of the computer on which they run, ± 1.60 ms)`,
  )
  expect(textWith('device>edge', 1.6)).toContain(`${first} the link device → edge, ± 1.60 ms)`)
  expect(textWith('quota of edge', 1.6)).toContain(`${first} the quota of edge, ± 1.60 ms)`)
})

it('says nothing of what moves a plan of which nothing uncertain is known', () => {
  const still = { ...answer, plans: answer.plans.map((plan) => ({ ...plan, moves: [] })) }
  expect(plansText(still as never)).not.toContain('what moves it most')
})
