import { spawnSync } from 'node:child_process'
import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { parseJson } from '../../shared/oip/exact-json.ts'
import { withLoader } from '../../shared/platform/processes/child-module.ts'

const parse = (text: string) => parseJson(new TextEncoder().encode(text))
/** A long integer before the text selects the exact parser. */
const parseExactly = (text: string) => (parse(`[12345678901234567890,${text}]`) as unknown[])[1]

/** The value as JSON.parse reads it: long integers become the nearest double. */
function rounded(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value)
  if (Array.isArray(value)) return value.map(rounded)
  if (typeof value !== 'object' || value === null) return value
  return Object.fromEntries(Object.entries(value).map(([key, member]) => [key, rounded(member)]))
}

const infinite = (value: unknown): boolean =>
  typeof value === 'object' && value !== null
    ? Object.values(value).some(infinite)
    : typeof value === 'number' && !Number.isFinite(value)

describe('JSON with long integers', () => {
  it('is read as the platform reads it, apart from them', () => {
    fc.assert(
      fc.property(fc.json({ maxDepth: 6 }), fc.nat({ max: 2 }), (text, indent) => {
        const spaced = JSON.stringify(JSON.parse(text), null, indent)
        expect(rounded(parseExactly(spaced))).toEqual(JSON.parse(text))
      }),
      { numRuns: 500 },
    )
  })

  it('is refused where the platform refuses it', () => {
    const damaged = fc.record({
      text: fc.json({ maxDepth: 3 }),
      at: fc.nat(),
      with: fc.constantFrom(...Array.from('{}[]",:0-.e\\tnu \n')),
    })
    fc.assert(
      fc.property(damaged, ({ text, at, with: inserted }) => {
        const broken = text.slice(0, at % (text.length + 1)) + inserted + text.slice(at % (text.length + 1))
        let expected: unknown
        try {
          expected = JSON.parse(`[0,${broken}]`)
          // A number past the range of a double, which the platform makes infinite.
          if (infinite(expected)) throw new Error('too large')
        } catch {
          expect(() => parse(`[12345678901234567890,${broken}]`)).toThrow('not JSON')
          return
        }
        const [, ...rest] = parse(`[12345678901234567890,${broken}]`) as unknown[]
        expect(rounded(rest)).toEqual((expected as unknown[]).slice(1))
      }),
      { numRuns: 2000 },
    )
  })

  it('keeps integers that a double cannot hold, and only those, as bigint', () => {
    fc.assert(
      fc.property(fc.bigInt({ min: -(2n ** 70n), max: 2n ** 70n }), (value) => {
        const read = parse(`{"a":[${value}]}`) as { a: unknown[] }
        const safe = BigInt.asIntN(54, value) === value && Number.isSafeInteger(Number(value))
        expect(read.a[0]).toEqual(safe ? Number(value) : value)
      }),
    )
  })

  it('are read in a few times the memory of their text', () => {
    const module = new URL('../../shared/oip/exact-json.ts', import.meta.url).href
    const script = `
      import { parseJson } from ${JSON.stringify(module)}
      const text = Buffer.from('[' + '1234567890123456,'.repeat(2e6) + '0]')
      console.log(parseJson(text).length)`
    const limits = ['--max-old-space-size=180', '--input-type=module']
    const child = spawnSync(process.execPath, [...withLoader([], false), ...limits, '-e', script])
    expect(child.stderr.toString()).toBe('')
    expect(child.stdout.toString().trim()).toBe('2000001')
  })

  it('does not take the digits of a fraction or of a string for a long integer', () => {
    expect(parse('[0.12345678901234567890,"12345678901234567890",1.5e20,12345678901234567890E1]')).toEqual([
      JSON.parse('0.12345678901234567890'),
      '12345678901234567890',
      1.5e20,
      1.234_567_890_123_456_8e20,
    ])
  })
})

describe('numbers that JSON does not have', () => {
  it('are read as the bare words of Triton and of Python', () => {
    expect(parse('{"a":[NaN,Infinity,-Infinity,Inf,-Inf],"b": NaN}')).toEqual({
      a: [Number.NaN, Infinity, -Infinity, Infinity, -Infinity],
      b: Number.NaN,
    })
    expect(parse('["NaN","-Infinity"]')).toEqual(['NaN', '-Infinity'])
  })

  it('are no other words, and never what a number past a double becomes', () => {
    const wrong = ['nan', 'NAN', '-NaN', '+Infinity', 'Infinite', 'NaN1', 'infinity', '1e999', '-1e0400', 'N']
    for (const text of [...wrong, '9'.repeat(310), `${'9'.repeat(305)}e4`, `${'9'.repeat(310)}.5`])
      expect(() => parse(`[1,${text}]`), text).toThrow('not JSON')
    expect(parse('[1e-999,1e100,0.5e+007]')).toEqual([0, 1e100, 5e6])
  })

  it('tell where the text is wrong, whatever words are before it', () => {
    expect(() => parse('[NaN,1,}')).toThrow('unexpected "}" at position 7, after "[NaN,1,"')
  })
})

describe('any JSON', () => {
  it('must be UTF-8', () => {
    expect(() => parseJson(Uint8Array.of(0x22, 0xff, 0x22))).toThrow('not JSON')
  })

  it('may not nest past 100 levels; brackets in strings do not count', () => {
    expect(() => parse('['.repeat(100) + ']'.repeat(100))).not.toThrow()
    expect(() => parse('['.repeat(101))).toThrow('JSON nesting depth exceeds maximum allowed limit (100)')
    expect(parse(`["${'['.repeat(500)}\\"${'{'.repeat(500)}"]`)).toHaveLength(1)
  })

  it('cannot reach an object’s prototype', () => {
    const read = parse('{"__proto__":{"x":1},"n":12345678901234567890}') as object
    expect(Object.getPrototypeOf(read)).toBe(Object.prototype)
    expect(Object.hasOwn(read, '__proto__')).toBe(true)
  })
})
