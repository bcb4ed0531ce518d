/** What comes from outside controls no terminal, and no spreadsheet; passwords are not printed. */
import { describe, expect, it } from 'vitest'
import { hidePasswordOf, hidePasswords } from '../../shared/platform/hidden-passwords.ts'
import { csvText } from '../../infra/terminal/csv.ts'
import { msColumn } from '../../infra/terminal/columns.ts'
import { printable, printableJson, printableText } from '../../infra/terminal/printable.ts'
import { tableOf } from '../../infra/terminal/table.ts'

describe('control characters', () => {
  it('are shown as their escapes, wherever they are in an answer', () => {
    const answer = { 'n\u001bm': ['a\u001b[2Jb', { c: 'd\u0007\u009b\u202e\nf', e: 3, g: null }] }
    expect(printable(answer)).toEqual({
      'n\\x1bm': ['a\\x1b[2Jb', { c: 'd\\x07\\x9b\\u202e\\nf', e: 3, g: null }],
    })
    expect(printableText('first\nsecond\t\r')).toBe('first\nsecond\\t\\r')
  })

  it('leave JSON what it was', () => {
    const value = { name: 'a\u001b\u007f\u009b\u2028\u202eb', list: [1, 'x\ny'] }
    const text = printableJson(value)
    expect(text).not.toMatch(/(?!\n)[\p{Cc}\u2028\u202e]/u)
    expect(JSON.parse(text)).toEqual(value)
  })
})

describe('CSV', () => {
  const csv = (...names: string[]) =>
    csvText(
      tableOf(
        names.map((name) => ({ name })),
        { name: ({ name }) => name },
      ),
    )
      .split('\r\n')
      .slice(1)

  it('has exact figures with their unit in the head, and numbers as they are', () => {
    const rows = [{ ms: 13.482913 }, { ms: -2 }]
    const table = tableOf(rows, { 'round trip': msColumn(({ ms }) => ms), n: (_, index) => -index })
    expect(csvText(table)).toBe('round trip (ms),n\r\n13.482913,0\r\n-2,-1')
  })

  it('quotes what RFC 4180 says', () => {
    expect(csv('a,b', 'say "x"', 'plain')).toEqual(['"a,b"', '"say ""x"""', 'plain'])
    expect(csvText(tableOf([{ name: 'two\nlines' }], { name: ({ name }) => name }))).toBe(
      'name\r\n"two\nlines"',
    )
  })

  it('holds no formulas', () => {
    expect(csv('=1+1', '+1', '-1', '@sum', '=a,b')).toEqual(["'=1+1", "'+1", "'-1", "'@sum", `"'=a,b"`])
  })
})

describe('passwords in URLs', () => {
  it.each([
    ['redis://:secret@host:6379', 'redis://:***@host:6379'],
    ['at http://user:secret@host/x and https://a:b@c', 'at http://user:***@host/x and https://a:***@c'],
    ['redis://u:se/cr@et@host', 'redis://u:***@et@host'],
    ['"rediss://u:p@h"', '"rediss://u:***@h"'],
    ['http://host:8081/v1?mail=a@b', 'http://host:8081/v1?mail=a@b'],
    ['http://127.0.0.1:8090/v2/models/net@2', 'http://127.0.0.1:8090/v2/models/net@2'],
    ['device@edge', 'device@edge'],
  ])('%s', (text, hidden) => {
    expect(hidePasswords(text)).toBe(hidden)
  })

  it('are hidden also in a setting that is no URL', () => {
    expect(hidePasswordOf('redis//:secret@host')).toBe('***@host')
    expect(hidePasswordOf(':secret@host')).toBe('***@host')
    expect(hidePasswordOf('redis://host:1/0')).toBe('redis://host:1/0')
  })
})
