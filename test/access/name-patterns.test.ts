/** Names that a key is for, against the same as a regular expression; and names that are made to take long. */
import fc from 'fast-check'
import { expect, it } from 'vitest'
import { patternOf } from '../../shared/platform/access/identity.ts'

const piece = (...characters: string[]) => fc.string({ unit: fc.constantFrom(...characters), maxLength: 8 })

it('means whole names, in which a star stands for any characters', () => {
  fc.assert(
    fc.property(piece('a', 'b', '.', '*'), piece('a', 'b', '.'), (pattern, name) => {
      const expression = new RegExp(`^${pattern.replaceAll('.', '\\.').replaceAll('*', '.*')}$`)
      expect([pattern, name, patternOf(pattern).test(name)]).toEqual([pattern, name, expression.test(name)])
    }),
    { numRuns: 3000 },
  )
  expect(patternOf('a*a').test('a')).toBe(false)
  expect(patternOf('net').test('net2')).toBe(false)
})

it('is done with a name that almost fits a pattern of many stars', () => {
  // As a regular expression: longer than anybody waits.
  expect(patternOf(`${'*a'.repeat(40)}*b`).test('a'.repeat(8000))).toBe(false)
})
