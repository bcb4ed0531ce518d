/** A body with very many values or faults is answered as shortly as one with a few. */
import { expect, it } from 'vitest'
import { z } from 'zod'
import { ScissionError } from '../../../../shared/platform/errors.ts'
import { MAX_FAULTS, validate } from '../../../../shared/platform/http-server/route.ts'

function refusal(count: number): ScissionError {
  try {
    validate(
      z.array(z.string()),
      Array.from({ length: count }, () => 1),
      'body',
    )
  } catch (thrown) {
    if (thrown instanceof ScissionError) return thrown
    throw thrown
  }
  throw new Error('it was not refused')
}

it('names the first faults and counts the others', () => {
  const { message, details } = refusal(10_000)
  expect(details?.['fields']).toHaveLength(MAX_FAULTS)
  expect(message).toMatch(/^body: 0: Invalid input.*; 19: .*; and 9980 more$/)
  expect(refusal(3).message).not.toMatch(/more$/)
})
