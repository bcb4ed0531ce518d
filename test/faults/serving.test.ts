/** The index of what was found at the running services is complete, and names tests that there are. */
import { readFileSync } from 'node:fs'
import { describe, expect, it } from 'vitest'
import { FINDINGS } from './serving.ts'

const FOUND = 30

/** Whether a text is the first argument of a call, as the title of a test is: in quotes, and with a function behind it. */
const hasTest = (source: string, title: string): boolean =>
  ["'", '`'].some((quote) => {
    const written = quote === '`' ? title : title.replaceAll("'", "\\'")
    const at = source.indexOf(quote + written + quote)
    return at > 0 && /\(\s*$/.test(source.slice(0, at)) && /^\s*,/.test(source.slice(at + written.length + 2))
  })

describe('what was found at the running services', () => {
  it('is all there, each number once', () => {
    const numbers = FINDINGS.map(({ number }) => number)
    expect(numbers).toEqual(Array.from({ length: FOUND }, (_, at) => at + 1))
  })

  it.each(FINDINGS)('$number has tests, which are not left out: $what', ({ shownBy }) => {
    expect(shownBy.length).toBeGreaterThan(0)
    for (const { file, title } of shownBy) {
      const source = readFileSync(new URL(`../../${file}`, import.meta.url), 'utf8')
      expect([file, title, hasTest(source, title)]).toEqual([file, title, true])
      expect(source).not.toMatch(/\b(it|describe)\.(skip|todo|fails|only)\(/)
    }
  })

  it('is not taken for shown by a title that no test has', () => {
    const source =
      "it('a thing', () => undefined)\n// it stands in a comment: 'another thing'\nit(\n  'a third', run)"
    expect(hasTest(source, 'a thing')).toBe(true)
    expect(hasTest(source, 'a third')).toBe(true)
    expect(hasTest(source, 'another thing')).toBe(false)
    expect(hasTest(source, 'thing')).toBe(false)
  })
})
