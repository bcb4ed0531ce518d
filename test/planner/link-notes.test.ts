import { describe, expect, it } from 'vitest'
import { isOld, linkNotes } from '../../services/planner/queries/link-notes.ts'
import { exampleLink } from '../support/fixtures.ts'

const NOW = Date.parse('2026-01-01T12:00:00.000Z')
const at = (minutesAgo: number) => new Date(NOW - minutesAgo * 60_000).toISOString()
const RESOURCES = [{ name: 'device' }, { name: 'edge' }]
const structure = (bytes: number) => ({
  boundaries: [bytes, bytes, bytes].map((size, index) => ({
    k: index,
    bytes: size,
    tensors: [],
    allowed: true,
    single: true,
    clean: true,
  })),
})
const link = (changes: Parameters<typeof exampleLink>[2]) => exampleLink('device', 'edge', changes)
const certain = { rttMs: 0.1, bandwidthMbps: 0.1, returnBandwidthMbps: 0.1 }
const notesOf = (changes: Parameters<typeof exampleLink>[2], bytes = 100_000) =>
  linkNotes([link(changes)], RESOURCES, structure(bytes), NOW)

describe('notes on links', () => {
  it('are silent about a link that was measured lately and well', () => {
    expect(notesOf({ measuredAt: at(1), uncertainty: certain })).toEqual([])
  })

  it('name a link that was not measured for long, when it was, and what to do', () => {
    const [note, ...more] = notesOf({ measuredAt: at(25), uncertainty: certain })
    expect(more).toEqual([])
    expect(note).toContain('device → edge')
    expect(note).toContain(at(25))
    expect(note).toContain('/v1/links/measure')
  })

  it('name figures that leave a usual message uncertain, not those that hardly touch it', () => {
    const wide = { measuredAt: at(1), uncertainty: { ...certain, bandwidthMbps: 5 } }
    expect(notesOf(wide, 100_000)).toEqual([expect.stringMatching(/uncertain: .*8\.00 ± 5\.00 Mbit\/s/)])
    expect(notesOf(wide, 100)).toEqual([])
    // What a fast link may lack is no time at all.
    const fast = { bandwidthMbps: 9000, uncertainty: { ...certain, bandwidthMbps: 4500 } }
    expect(notesOf({ ...wide, ...fast })).toEqual([])
  })

  it('are not about links set by hand, or of machines that no plan can use', () => {
    expect(notesOf({ source: 'override', measuredAt: at(1000) })).toEqual([])
    const far = exampleLink('device', 'cloud', { measuredAt: at(1000) })
    expect(linkNotes([far], RESOURCES, structure(1000), NOW)).toEqual([])
    expect(isOld({ source: 'imported', measuredAt: at(1000) }, NOW)).toBe(false)
  })
})
