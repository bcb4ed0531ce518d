/** Tables say of every figure where it comes from: nothing is called measured that was not. */
import { describe, expect, it } from 'vitest'
import { everyPlanTable } from '../../infra/cli/plan-tables.ts'
import { profilesTable, resourcesTable } from '../../infra/cli/tables.ts'
import { csvText } from '../../infra/terminal/csv.ts'
import { type Table, tableText } from '../../infra/terminal/table.ts'
import { optimise } from '../../shared/planning/index.ts'
import { FREE, threeTiers } from '../planning/problems.ts'
import { exampleProfile, exampleResource } from '../support/fixtures.ts'

/** The last cells of a column, by its head. */
function column(table: Table, head: string): string[] {
  const at = table.heads.findIndex(({ name }) => name === head)
  return csvText(table)
    .split('\r\n')
    .slice(1)
    .map((line) => line.split(/,(?=(?:[^"]*"[^"]*")*[^"]*$)/)[at] ?? '')
}

describe('where figures come from', () => {
  it('is in the table of plans', () => {
    const problem = threeTiers()
    const source = (name: string) => ({ ...(name === 'edge' && { source: 'imported' as const }) })
    const profiles = problem.profiles.map((one) => ({ ...one, ...source(one.resource) }))
    const links = problem.links.map((link) => ({ ...link, ...source(link.to) }))
    const resources = problem.resources.map((one) => (one.name === 'cloud' ? { ...one, slowdown: 2 } : one))
    const { plans, native } = optimise({ ...problem, profiles, links, resources }, FREE)
    const numbers = column(everyPlanTable({ plans, native } as never), 'numbers').slice(-native.length)
    expect(numbers).toEqual(['measured', 'imported', 'emulated'])
  })

  it('is in the table of profiles, also of an imported one of a machine that is slowed down', () => {
    const table = profilesTable([
      exampleProfile('device', [1, 2]),
      exampleProfile('edge', [1, 2], { emulated: true }),
      exampleProfile('lab', [1, 2], { emulated: true, source: 'imported' }),
    ])
    expect(column(table, 'figures')).toEqual(['measured', 'emulated', 'imported'])
  })

  it('is a number for programs, and nothing where nothing is known', () => {
    const profile = exampleProfile('device', [1, 2], {
      interval: { relative: 0.18, fixedMs: 0.1, confidence: 0.95 },
    })
    const { interval: _none, ...bare } = exampleProfile('lab', [1, 2])
    const table = profilesTable([profile, { ...bare, source: 'imported', peakRssBytes: 0 }])
    expect(column(table, '95 % within')).toEqual(['0.18', ''])
    expect(column(table, 'peak memory').at(-1)).toBe('')
    expect(tableText(table, 300)).toMatch(/± 18 %/)
    const lab = { ...exampleResource('cloud', { source: 'imported' }), alive: false, silentMs: 5 }
    expect(column(resourcesTable([lab]), 'address')).toEqual([''])
    // Heads name the unit of whatever has one.
    expect(csvText(resourcesTable([lab]))).toMatch(/^resource,.*,pace \(ms\),/)
  })

  it('is in the table of machines: one that was imported never gave a sign of life', () => {
    const lab = {
      ...exampleResource('cloud', { name: 'lab', source: 'imported' }),
      alive: false,
      silentMs: 5000,
    }
    const table = resourcesTable([lab])
    expect([column(table, 'state'), column(table, 'last sign of life')]).toEqual([['imported'], ['']])
    expect(tableText(table, 200)).not.toMatch(/ago|lost|alive/)
  })
})
