/** Under which licences the packages are that this repository installs, and whether it may use them. */
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import path from 'node:path'
import { z } from 'zod'
import { coerceError, ScissionError } from '../../shared/platform/errors.ts'

export interface Licensed {
  name: string
  version: string
  /** An SPDX expression, or what stands in its place. */
  licence: string
}

/**
 * Permissive ones, and the Mozilla Public License, which asks only that changes of its own files be published. A licence that
 * would reach into code of ours, or that forbids a use, is not among them.
 */
const ALLOWED = new Set([
  '0BSD',
  'Apache-2.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'BlueOak-1.0.0',
  'CC0-1.0',
  'ISC',
  'MIT',
  'MPL-2.0',
  'PSF-2.0',
])

const Manifest = z.object({
  name: z.string(),
  version: z.string(),
  license: z.union([z.string(), z.object({ type: z.string() })]).optional(),
})

/** Of one OR of the other, of one AND of the other too; brackets around the whole only. Anything else is not allowed. */
export function isAllowed(licence: string): boolean {
  const bare = licence.replace(/^\((.*)\)$/, '$1')
  if (/[()]/.test(bare)) return false
  return bare.split(' OR ').some((choice) => choice.split(' AND ').every((one) => ALLOWED.has(one)))
}

/** Every package in a `node_modules` folder and in those within it. @throws ScissionError if a manifest cannot be read. */
export function installedPackages(nodeModules: string): Licensed[] {
  return foldersIn(nodeModules).flatMap((folder) => [
    licensedIn(folder),
    ...installedPackages(path.join(folder, 'node_modules')),
  ])
}

function foldersIn(nodeModules: string): string[] {
  const entries = namesIn(nodeModules).filter((name) => !name.startsWith('.'))
  return entries.flatMap((name) =>
    name.startsWith('@')
      ? namesIn(path.join(nodeModules, name)).map((scoped) => path.join(nodeModules, name, scoped))
      : [path.join(nodeModules, name)],
  )
}

function namesIn(folder: string): string[] {
  if (!existsSync(folder)) return []
  return readdirSync(folder, { withFileTypes: true })
    .filter((entry) => entry.isDirectory())
    .map(({ name }) => name)
    .sort()
}

function licensedIn(folder: string): Licensed {
  const file = path.join(folder, 'package.json')
  try {
    const { name, version, license = 'none' } = Manifest.parse(JSON.parse(readFileSync(file, 'utf8')))
    return { name, version, licence: typeof license === 'string' ? license : license.type }
  } catch (thrown) {
    const { message } = coerceError(thrown)
    throw new ScissionError(
      'internal',
      `${file} does not say what package it is of: ${message}`,
      undefined,
      thrown,
    )
  }
}

const Lock = z.object({
  packages: z.record(
    z.string(),
    z.looseObject({
      version: z.string().optional(),
      license: z.string().default('none'),
      dev: z.boolean().default(false),
    }),
  ),
})

/** What the lockfile has for users, on all platforms; not what only tests and checks of the code need. */
export function lockedPackages(lockfile: string): Licensed[] {
  const { packages } = Lock.parse(JSON.parse(readFileSync(lockfile, 'utf8')))
  return Object.entries(packages).flatMap(([place, { version = '', license, dev }]) =>
    place === '' || dev
      ? []
      : [{ name: place.split('node_modules/').at(-1) ?? place, version, licence: license }],
  )
}
