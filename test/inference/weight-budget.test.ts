import { expect, it } from 'vitest'
import { WeightBudget } from '../../services/inference/forwarding/weight-budget.ts'

it('refuses what does not fit beside what is reserved, and takes it again once that was given back', () => {
  const budget = new WeightBudget(100, 'all fallbacks')
  const range = { from: 2, to: 5 }
  const giveBack = budget.reserve(range, 60)
  budget.reserve(range, 40)
  expect(() => budget.reserve(range, 1)).toThrow(
    'layers 2-5 do not fit here: 1 bytes of weights, SCISSION_STAGE_BYTES=100 is for all fallbacks',
  )
  giveBack()
  expect(() => budget.reserve(range, 61)).toThrow('61 bytes')
  budget.reserve(range, 60)
})
