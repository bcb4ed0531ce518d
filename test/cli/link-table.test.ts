/** Links are shown with what is not known of them, how old that is and what it rests on. */
import { describe, expect, it } from 'vitest'
import { stripVTControlCharacters } from 'node:util'
import { linksTable } from '../../infra/cli/link-table.ts'
import { csvText } from '../../infra/terminal/csv.ts'
import { tableText } from '../../infra/terminal/table.ts'
import { exampleLink } from '../support/fixtures.ts'

const measured = {
  ...exampleLink('device', 'edge', {
    rttMs: 20.12,
    bandwidthMbps: 19.1,
    returnBandwidthMbps: 48.2,
    uncertainty: { rttMs: 0.41, bandwidthMbps: 0.4, returnBandwidthMbps: 1.2 },
    basis: { probes: 34, traffic: 20 },
    measuredAt: '2026-01-01T00:00:00.000Z',
  }),
  ageMs: 12_400,
}
const overridden = { ...exampleLink('device', 'cloud', { source: 'override', rttMs: 5 }), ageMs: 180_000 }

const linesAt = (width: number) =>
  stripVTControlCharacters(tableText(linksTable([measured, overridden]), width)).split('\n')

describe('the table of links', () => {
  it('has each figure with its half-width, its age and what it rests on', () => {
    const line = linesAt(200).find((one) => one.includes('device → edge'))
    expect(line).toMatch(/20\.1 ms ± 0\.41\d* ms/)
    expect(line).toMatch(/19\.1\d* Mbit\/s ± 0\.4/)
    expect(line).toMatch(/48\.2\d* Mbit\/s ± 1\.2/)
    expect(line).toContain('12 s ago')
    expect(line).toContain('20 messages, 34 probes before')
  })

  it('has three digits of a fast link too, in one unit', () => {
    const fast = {
      ...measured,
      bandwidthMbps: 5286,
      uncertainty: { ...measured.uncertainty, bandwidthMbps: 1022 },
    }
    expect(tableText(linksTable([fast as typeof measured]), 200)).toMatch(/5\.29 Gbit\/s ± 1\.02 /)
  })

  it('shows no half-width where nothing was measured', () => {
    const line = linesAt(200).find((one) => one.includes('device → cloud'))
    expect(line).not.toContain('±')
    expect(line).toContain('3 min ago')
    expect(line).toContain('override')
  })

  it('keeps the figures in a narrow terminal, and exact values in CSV', () => {
    expect(linesAt(70).join('\n')).toContain('± 0.4')
    const csv = csvText(linksTable([measured]))
    expect(csv).toContain('20.12')
    expect(csv).toContain('2026-01-01T00:00:00.000Z')
    const [heads = [], row = []] = csv.split('\r\n').map((line) => line.split(','))
    const cell = (head: string) => Number(row[heads.indexOf(head)])
    expect(heads).not.toContain('age')
    expect(heads).toContain('measured at')
    expect(cell('round trip ± (ms)')).toBe(measured.uncertainty?.rttMs)
    expect(cell('bandwidth ± (Mbit/s)')).toBe(measured.uncertainty?.bandwidthMbps)
    expect(cell('back ± (Mbit/s)')).toBe(measured.uncertainty?.returnBandwidthMbps)
    expect(csvText(linksTable([overridden])).split('\r\n')[1]).toMatch(/,5,,/)
    expect(linesAt(200)[0]).not.toMatch(/±|measured at/)
  })

  it('has a link that was set just now, which has no age yet', () => {
    const text = tableText(linksTable([exampleLink('device', 'edge')]), 200)
    expect(text).toContain('now')
  })
})
