/** The licences of what is installed, and the registry's advisories on it. */
import { mkdirSync, writeFileSync } from 'node:fs'
import path from 'node:path'
import { describe, expect, it } from 'vitest'
import { readAdvisories } from '../../infra/dependencies/advisories.ts'
import { installedPackages, isAllowed, lockedPackages } from '../../infra/dependencies/licences.ts'
import { withFolder } from '../support/folder.ts'

const folder = withFolder('licences')

describe('packages', () => {
  it('that are installed are all of a licence that is allowed', () => {
    const packages = installedPackages('node_modules')
    expect(packages.map(({ name }) => name)).toEqual(expect.arrayContaining(['express', 'zod', 'vitest']))
    expect(packages.filter(({ licence }) => !isAllowed(licence))).toEqual([])
  })

  it('that the lockfile has for other platforms as well', () => {
    const packages = lockedPackages('package-lock.json')
    expect(packages.length).toBeGreaterThan(50)
    expect(packages.map(({ name }) => name)).not.toContain('vitest')
    expect(packages.filter(({ licence }) => !isAllowed(licence))).toEqual([])
  })

  it.each(['MIT', '(MIT OR GPL-3.0)', 'GPL-2.0 OR Apache-2.0', '(Apache-2.0 AND BSD-3-Clause)'])(
    'under %s may be used',
    (licence) => expect(isAllowed(licence)).toBe(true),
  )

  it.each([
    'GPL-3.0',
    'AGPL-3.0-only',
    'MIT AND GPL-3.0',
    'SEE LICENSE IN x',
    'UNLICENSED',
    'none',
    '',
    'mit',
    '(MIT OR GPL-3.0) AND GPL-3.0',
  ])('under %j may not', (licence) => expect(isAllowed(licence)).toBe(false))

  it('are found in scopes and within one another, also without a licence or with an old form of it', () => {
    const write = (place: string, manifest: object) => {
      const at = path.join(folder(), place)
      mkdirSync(at, { recursive: true })
      writeFileSync(path.join(at, 'package.json'), JSON.stringify(manifest))
    }
    write('nm/a', { name: 'a', version: '1.0.0', license: 'ISC' })
    write('nm/@s/b', { name: '@s/b', version: '1.0.0', license: { type: 'MIT', url: 'x' } })
    write('nm/a/node_modules/c', { name: 'c', version: '2.0.0' })
    mkdirSync(path.join(folder(), 'nm', '.bin'))
    expect(installedPackages(path.join(folder(), 'nm'))).toEqual([
      { name: '@s/b', version: '1.0.0', licence: 'MIT' },
      { name: 'a', version: '1.0.0', licence: 'ISC' },
      { name: 'c', version: '2.0.0', licence: 'none' },
    ])
    mkdirSync(path.join(folder(), 'nm', 'broken'))
    expect(() => installedPackages(path.join(folder(), 'nm'))).toThrow(/broken\/package\.json does not say/)
  })
})

describe('a report of npm audit', () => {
  const metadata = { vulnerabilities: { total: 0 } }
  it('names what is open, and is clean without', () => {
    const found = { vulnerabilities: { x: { name: 'x', severity: 'high', via: [] } }, metadata }
    expect(readAdvisories(JSON.stringify(found))).toEqual({
      kind: 'found',
      packages: [{ name: 'x', severity: 'high' }],
    })
    expect(readAdvisories(JSON.stringify({ vulnerabilities: {}, metadata }))).toEqual({ kind: 'clean' })
  })

  it.each([
    ['{"message":"405 Method Not Allowed","error":{"summary":"","detail":""}}', '405 Method Not Allowed'],
    ['', 'npm audit gave no report'],
    ['<html>', 'npm audit gave no report'],
  ])('that is none says why: %s', (output, why) => {
    expect(readAdvisories(output)).toEqual({ kind: 'unknown', why })
  })
})
