/** Tables and sentences fit a terminal of any width from 40 columns; what is piped is not cut. */
import { stripVTControlCharacters } from 'node:util'
import stringWidth from 'string-width'
import { describe, expect, it } from 'vitest'
import { bytesColumn, msColumn } from '../../infra/terminal/columns.ts'
import { tableOf, tableText } from '../../infra/terminal/table.ts'
import { wrapText } from '../../infra/terminal/wrap.ts'

const PLANS = [
  { plan: 'all on device', predictedMs: 67.634, bytes: 0, where: 'http://127.0.0.1:23010' },
  {
    plan: 'device [0,63) → edge [63,158)',
    predictedMs: 1234.5,
    bytes: 50_176,
    where: 'http://127.0.0.1:23011',
  },
]
const table = tableOf(
  PLANS,
  {
    'plan (layers)': ({ plan }) => plan,
    predicted: msColumn(({ predictedMs }) => predictedMs),
    sent: bytesColumn(({ bytes }) => bytes),
    within: () => '43.9 ms – 91.4 ms',
    address: ({ where }) => where,
  },
  { expendable: ['address', 'sent'] },
)
const linesAt = (width: number) => stripVTControlCharacters(tableText(table, width)).split('\n')

describe('a table', () => {
  it.each([40, 50, 60, 80, 100, 120, 200])('fits %i columns, and no figure is broken', (width) => {
    const lines = linesAt(width)
    expect(lines.filter((line) => stringWidth(line) > width)).toEqual([])
    const text = lines.join('\n')
    for (const figure of ['67.6 ms', '1.23 s', '43.9 ms', '91.4 ms']) expect(text).toContain(figure)
  })

  it('leaves out the least important columns first, and says so', () => {
    expect(linesAt(200)[0]).toMatch(/plan \(layers\) +predicted +sent +within +address/)
    expect(linesAt(70).join('\n')).toMatch(/predicted +sent +within[^]*left out for want of width: address/)
    expect(linesAt(48).join('\n')).toMatch(/predicted +within[^]*left out for want of width: address, sent/)
  })

  it('that is piped is whole', () => {
    expect(linesAt(Number.POSITIVE_INFINITY)).toEqual(linesAt(1000))
  })

  it('of which no two columns fit is a line for each cell; a word that is too long stays whole', () => {
    const id = 'a'.repeat(60)
    const long = tableOf([{ id }], { deployment: (one) => one.id, state: () => 'ready' })
    const text = stripVTControlCharacters(tableText(long, 40))
    expect(text).toMatch(new RegExp(`deployment +${id}\n +state +ready`))
  })

  it('keeps a cell in its row, whatever line ends a name has', () => {
    const hostile = tableOf([{ name: 'a\nb' }], { name: (one) => one.name })
    expect(tableText(hostile, 80).split('\n')).toHaveLength(2)
  })
})

describe('a sentence', () => {
  const sentence =
    'device alone wins: 67.6 ms against 284 ms on edge alone; sending 50.2 kB would cost ≤ 34.5 ms (± 33 %)'

  it.each([40, 60, 80])(
    'is broken between words at %i columns, never between a figure and its unit',
    (width) => {
      const lines = wrapText(sentence, width).split('\n')
      expect(lines.filter((line) => line.length > width)).toEqual([])
      expect(lines.join(' ').replaceAll(/ +/g, ' ')).toBe(sentence)
      for (const figure of ['67.6 ms', '284 ms', '50.2 kB', '≤ 34.5 ms', '± 33 %'])
        expect(
          lines.some((line) => line.includes(figure)),
          figure,
        ).toBe(true)
    },
  )

  it('counts wide characters and colours as the terminal does', () => {
    expect(wrapText('層層層層層 層層層層層', 12).split('\n')).toEqual(['層層層層層', '  層層層層層'])
    expect(wrapText('\u001b[33mwarning: it\u001b[39m', 11)).toBe('\u001b[33mwarning: it\u001b[39m')
  })

  it('that is piped is not broken', () => {
    expect(wrapText(sentence, Number.POSITIVE_INFINITY)).toBe(sentence)
  })
})
