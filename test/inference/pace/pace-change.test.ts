import { expect, it } from 'vitest'
import type { Pace } from '../../../shared/contracts/pace.ts'
import { isWorthTelling } from '../../../services/inference/pace/pace-change.ts'
import { examplePace } from '../../support/example-pace.ts'

const told = examplePace('edge')
const scaled = (factor: number): Pace => examplePace('edge', { factor })

it('tells a first pace at once, then no more often than every five seconds and at least every thirty', () => {
  expect(isWorthTelling(undefined, told, 0)).toBe(true)
  expect(isWorthTelling(told, scaled(2), 4999)).toBe(false)
  expect(isWorthTelling(told, scaled(2), 5000)).toBe(true)
  expect(isWorthTelling(told, told, 29_999)).toBe(false)
  expect(isWorthTelling(told, told, 30_000)).toBe(true)
})

it('tells small changes only when it is time anyway', () => {
  expect(isWorthTelling(told, scaled(1.01), 10_000)).toBe(false)
  expect(isWorthTelling(told, scaled(1.05), 10_000)).toBe(true)
})

it('tells a quota that was set, changed or lifted', () => {
  const limited = { ...told, quota: { quotaMs: 50, periodMs: 100 } }
  expect(isWorthTelling(told, limited, 10_000)).toBe(true)
  expect(isWorthTelling(limited, { ...told, quota: { quotaMs: 10, periodMs: 100 } }, 10_000)).toBe(true)
  expect(isWorthTelling(limited, told, 10_000)).toBe(true)
  expect(isWorthTelling(limited, limited, 10_000)).toBe(false)
})
